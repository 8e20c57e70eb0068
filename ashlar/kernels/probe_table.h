// The inner loops of the machine probe, compiled for each tier: reading memory and multiplying,
// with nothing else in the way. Allow-listed for *.kernel.cc.
#pragma once

#include <cstdint>

namespace ashlar::kernels {

// A loop of independent multiply-add chains: run(steps) does steps * operations_per_step, where a
// multiplication and an addition count as two. Its value only keeps the loop from being removed.
struct ArithmeticLoop {
  float (*run)(int64_t steps) = nullptr;  // null: the tier has no such instruction
  int64_t operations_per_step = 0;
};

struct ProbeTable {
  float (*read)(const float* data, int64_t count) = nullptr;  // sums
  ArithmeticLoop f32;
  ArithmeticLoop bf16_dot;  // VDPBF16PS
  ArithmeticLoop int8_dot;  // VPDPBUSD; VPMADDWD and VPADDD without VNNI
  ArithmeticLoop int4_dot;  // codes of four bits by eight, where that is faster: VPMADDUBSW, VPADDW
};

}  // namespace ashlar::kernels
