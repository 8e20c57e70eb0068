// Loops that keep AMX busy: over the ones of avx512.
#include "ashlar/kernels/amx/tile.h"
#include "ashlar/kernels/probe_table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

constexpr int64_t kProducts = kAmxRows * kAmxRows * kAmxStep;  // of an instruction
constexpr int kUnrolled = 3;

float multiply_tiles(int64_t steps) {
  amx_configure(kAmxRows);
  const std::byte zeros[kAmxTile] = {};
  amx_zero<0>(), amx_zero<1>(), amx_zero<2>(), amx_zero<3>();
  amx_load<4>(zeros, kAmxBytes), amx_load<5>(zeros, kAmxBytes);
  amx_load<6>(zeros, kAmxBytes), amx_load<7>(zeros, kAmxBytes);
  for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 3
    for (int k = 0; k < kUnrolled; ++k) amx_multiply_pairs<true>();
  }
  amx_release();
  return 0;
}

}  // namespace

// An f32 product is six of planes.
void fill_probe(ProbeTable& table) {
  table.bf16_dot = {multiply_tiles, 2 * 4 * kUnrolled * kProducts};
  table.f32 = {multiply_tiles, 2 * 4 * kUnrolled * kProducts / 6};
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
