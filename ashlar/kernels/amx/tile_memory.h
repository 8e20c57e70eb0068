// AMX's tiles in memory and its instructions by vectors of avx512, with the same bits
// (tile_registers.h): its kernels can be tested on processors without it.
#pragma once

#include "ashlar/kernels/amx/tile_shape.h"
#include "ashlar/kernels/vec.h"

#include <cstring>

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

struct AmxTiles {
  alignas(64) int32_t of[8][kAmxRows][kLanes];
  int64_t rows[8];
};
inline thread_local AmxTiles amx_tiles;  // of all sources of the tier

ASHLAR_INLINE void amx_configure(int64_t rows) {
  for (int tile = 0; tile < 8; ++tile) amx_tiles.rows[tile] = tile < 6 ? rows : kAmxRows;
}
// Whoever goes on without configuring finds tiles without rows.
ASHLAR_INLINE void amx_release() { amx_tiles = {}; }

template <int kTile>
ASHLAR_INLINE void amx_zero() {
  std::memset(amx_tiles.of[kTile], 0, sizeof(amx_tiles.of[kTile]));
}
template <int kTile>
ASHLAR_INLINE void amx_load(const void* from, int64_t stride) {
  amx_zero<kTile>();
  for (int64_t i = 0; i < amx_tiles.rows[kTile]; ++i) {
    std::memcpy(amx_tiles.of[kTile][i], static_cast<const std::byte*>(from) + i * stride,
                kAmxBytes);
  }
}
template <int kTile>
ASHLAR_INLINE void amx_store(void* to, int64_t stride) {
  for (int64_t i = 0; i < amx_tiles.rows[kTile]; ++i) {
    std::memcpy(static_cast<std::byte*>(to) + i * stride, amx_tiles.of[kTile][i], kAmxBytes);
  }
}

// f, in which subnormals are taken and left as 0. What f reads and writes has to be memory: the
// compiler moves nothing else across.
template <typename F>
ASHLAR_INLINE void without_subnormals(F f) {
  constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x40;
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | kFlushToZero | kDenormalsAreZero);
  asm volatile("" ::: "memory");
  f();
  asm volatile("" ::: "memory");
  _mm_setcsr(before);
}

template <int kC, int kA, int kB>
static void amx_multiply() {
  without_subnormals([] {
    const Ints high = ints(static_cast<int32_t>(0xffff0000u));
    for (int64_t i = 0; i < amx_tiles.rows[kC]; ++i) {
      Vec even = zero(), odd = zero();
      for (int64_t k = 0; k < kAmxRows; ++k) {
        const Ints a = ints(amx_tiles.of[kA][i][k]), b = load(amx_tiles.of[kB][k]);
        even = fma(as_floats(shift_left<16>(a)), as_floats(shift_left<16>(b)), even);
        odd = fma(as_floats(a & high), as_floats(b & high), odd);
      }
      int32_t* sums = amx_tiles.of[kC][i];
      store(sums, as_ints(as_floats(load(sums)) + (even + odd)));
    }
  });
}

template <int kC, int kA, int kB, bool kSigned>
static void amx_multiply_bytes() {
  for (int64_t i = 0; i < amx_tiles.rows[kC]; ++i) {
    for (int64_t j = 0; j < kLanes; ++j) {
      int32_t sum = amx_tiles.of[kC][i][j];
      for (int64_t k = 0; k < kAmxRows; ++k) {
        int8_t a[4], b[4];
        std::memcpy(a, &amx_tiles.of[kA][i][k], sizeof(a));
        std::memcpy(b, &amx_tiles.of[kB][k][j], sizeof(b));
        for (int byte = 0; byte < 4; ++byte) {
          sum += a[byte] * (kSigned ? b[byte] : static_cast<uint8_t>(b[byte]));
        }
      }
      amx_tiles.of[kC][i][j] = sum;
    }
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
