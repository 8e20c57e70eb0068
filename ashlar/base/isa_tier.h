// The instruction sets kernels are compiled for. A tier needs all of its features: avx2 means AVX2,
// FMA and BMI2; avx512 means F, BW, DQ, VL and VNNI; avx512bf16 adds BF16. amx is avx512 with
// products on AMX (tiles of bf16). avx512-on-avx2 runs the
// AVX-512 source with each vector as two halves.
#pragma once

namespace ashlar {

enum class IsaTier { kScalar, kAvx2, kAvx512OnAvx2, kAvx512, kAvx512Bf16, kAmx };

}  // namespace ashlar
