// Loops that keep AMX busy: over the ones of avx512.
#include "ashlar/kernels/amx/tile.h"
#include "ashlar/kernels/probe_table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

constexpr int64_t kProducts = kAmxRows * kAmxRows * kAmxStep;  // of an instruction
constexpr int kUnrolled = 3;

ASHLAR_INLINE void multiply_bytes() {
  amx_multiply_bytes<0, 4, 6, true>(), amx_multiply_bytes<1, 4, 7, true>();
  amx_multiply_bytes<2, 5, 6, true>(), amx_multiply_bytes<3, 5, 7, true>();
}

template <bool kBytes>
float multiply_tiles(int64_t steps) {
  amx_configure(kAmxRows);
  const std::byte zeros[kAmxTile] = {};
  amx_zero<0>(), amx_zero<1>(), amx_zero<2>(), amx_zero<3>();
  amx_load<4>(zeros, kAmxBytes), amx_load<5>(zeros, kAmxBytes);
  amx_load<6>(zeros, kAmxBytes), amx_load<7>(zeros, kAmxBytes);
  for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 3
    for (int k = 0; k < kUnrolled; ++k) {
      if constexpr (kBytes) {
        multiply_bytes();
      } else {
        amx_multiply<0, 4, 6>(), amx_multiply<1, 4, 7>();
        amx_multiply<2, 5, 6>(), amx_multiply<3, 5, 7>();
      }
    }
  }
  amx_release();
  return 0;
}

}  // namespace

// An f32 product is six of planes. A tile holds twice as many bytes as bf16.
void fill_probe(ProbeTable& table) {
  constexpr int64_t kOperations = 2 * 4 * kUnrolled * kProducts;
  table.bf16_dot = {multiply_tiles<false>, kOperations};
  table.f32 = {multiply_tiles<false>, kOperations / 6};
  table.int8_dot = {multiply_tiles<true>, 2 * kOperations};
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
