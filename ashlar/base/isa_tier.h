// The instruction sets kernels are compiled for. A tier needs all of its features: avx2 means AVX2,
// FMA and BMI2; avx512 means F, BW, DQ, VL and VNNI; avx512bf16 adds BF16. amx is avx512 with
// products on AMX (tiles of bf16). Two emulations, for tests where the real thing is missing:
// avx512-on-avx2 runs the AVX-512 source with each vector as two halves, amx-on-avx512 that of AMX
// with tiles in memory.
#pragma once

namespace ashlar {

enum class IsaTier { kScalar, kAvx2, kAvx512OnAvx2, kAvx512, kAvx512Bf16, kAmxOnAvx512, kAmx };

// Whether products of f32 and bf16 are summed in AMX's order (kernels/args.h).
constexpr bool sums_as_amx(IsaTier tier) {
  return tier == IsaTier::kAmxOnAvx512 || tier == IsaTier::kAmx;
}

}  // namespace ashlar
