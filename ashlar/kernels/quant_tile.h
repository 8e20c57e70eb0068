// Micro-kernel of quantised products: a tile of up to kQuantRows rows by a panel of 16 outputs,
// over the whole of r. Arithmetic is the contract of args.h: integer sums within a sub-block are
// exact, then one chain of fma over the sub-blocks, held in registers.
#pragma once

#include "ashlar/kernels/quant_formats.h"
#include "ashlar/kernels/quant_rows.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

#if defined(__AVX512F__)
inline constexpr int kQuantRows = 12;  // a register for the integer sum and one for the chain
#elif defined(__AVX2__)
inline constexpr int kQuantRows = 4;  // two registers for the integer sum of a row
#else
inline constexpr int kQuantRows = 2;
#endif

// sums[i]: sum over sub-block `sub` of block b of (code - offset) * the row's code.
template <typename F, int kRows>
ASHLAR_INLINE void dot_block(const std::byte* panel, int64_t b, int phase, int sub,
                             const QuantRow* rows, Ints (&sums)[kRows]) {
  constexpr int kSteps = static_cast<int>(kBlockWords) / F::kSubBlocks;
  static_assert(kSteps <= kMostNibbleSteps);
  const int first = sub * kSteps;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) sums[i] = ints(rows[i].starts[sub]);
  if constexpr (kSumsBytes) {
#pragma GCC unroll 8
    for (int g = 0; g < kSteps; ++g) {
      const Ints codes = F::codes(panel, b, phase, first + g);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        sums[i] = dot_bytes(sums[i], codes, broadcast_word(rows[i].codes + 4 * (first + g)));
      }
    }
  } else {
#pragma GCC unroll 2
    for (int plane = 0; plane < F::kPlanes; ++plane) {
      NibbleSums s[kRows];
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) s[i] = zero_nibble_sums();
#pragma GCC unroll 8
      for (int g = 0; g < kSteps; ++g) {
        const Ints codes = F::plane(panel, b, phase, first + g, plane);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
          s[i] = dot_nibbles(s[i], codes, broadcast_word(rows[i].codes + 4 * (first + g)));
        }
      }
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const Ints t = total(s[i]);
        sums[i] = sums[i] + (plane == 0 ? t : shift_left<4>(t));
      }
    }
  }
}

// out[i * stride + j], from a tile of `rows` (QuantRow of all blocks, kRows side by side).
template <typename F, int kRows>
static void quant_tile(const std::byte* panel, const QuantRow* rows, int64_t blocks, float* out,
                       int64_t stride) {
  Vec chain[kRows];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) chain[i] = zero();
#pragma GCC unroll 1
  for (int64_t first = 0; first < blocks; first += F::kPeriod) {
#pragma GCC unroll 4
    for (int phase = 0; phase < F::kPeriod; ++phase, rows += kRows) {
      const int64_t b = first + phase;
#pragma GCC unroll 2
      for (int sub = 0; sub < F::kSubBlocks; ++sub) {
        Ints sums[kRows];
        dot_block<F, kRows>(panel, b, phase, sub, rows, sums);
        const Vec scale = F::scale(panel, b, sub);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
          chain[i] = fma(scale * broadcast(rows[i].scale), to_floats(sums[i]), chain[i]);
        }
      }
      if constexpr (F::kHasMinimum) {
        const Vec minimum = F::minimum(panel, b);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
          chain[i] = fnma(minimum, broadcast(rows[i].sum), chain[i]);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) store(out + i * stride, chain[i]);
}

using QuantTile = void (*)(const std::byte* panel, const QuantRow* rows, int64_t blocks, float* out,
                           int64_t stride);
template <typename F, int kRows = kQuantRows>
ASHLAR_INLINE QuantTile pick_quant_tile(int64_t rows) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return pick_quant_tile<F, kRows - 1>(rows);
  }
  return &quant_tile<F, kRows>;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
