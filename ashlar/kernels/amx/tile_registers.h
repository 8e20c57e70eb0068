// The registers and instructions of Intel's AMX: eight tiles of 16 rows of 64 bytes, and what
// multiplies two tiles of bf16 or of bytes. tile_memory.h has the same for processors without it.
//
// TDPBF16PS adds to c[m][n] (f32) one sum over 32 consecutive r: the products of even r in
// ascending order, those of odd r the same, then the two together; each addition is rounded to
// nearest even, and subnormals are taken and left as 0.
#pragma once

#include "ashlar/kernels/amx/tile_shape.h"
#include "ashlar/kernels/vec.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// Tiles 0-3 hold sums and 4, 5 A, of `rows` rows; 6 and 7 hold B. Until release() the thread keeps
// 8 KB more across context switches.
ASHLAR_INLINE void amx_configure(int64_t rows) {
  struct alignas(64) Config {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {};
  };
  Config config;
  for (int tile = 0; tile < 8; ++tile)
    config.rows[tile] = static_cast<uint8_t>(tile < 6 ? rows : kAmxRows);
  asm volatile("ldtilecfg %0" ::"m"(config));
}
ASHLAR_INLINE void amx_release() { asm volatile("tilerelease" ::: "memory"); }

// The compiler's own intrinsics do not say that they read memory.
template <int kTile>
ASHLAR_INLINE void amx_zero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}
template <int kTile>
ASHLAR_INLINE void amx_load(const void* from, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
ASHLAR_INLINE void amx_store(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
}
template <int kC, int kA, int kB>
ASHLAR_INLINE void amx_multiply() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
}

// Sums (int32) of four signed bytes of A by four of B, signed or not: exact.
template <int kC, int kA, int kB, bool kSigned>
ASHLAR_INLINE void amx_multiply_bytes() {
  if constexpr (kSigned) {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
  } else {
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
