// Quantised products by weights of 16 bits, for formats of more than four bits on processors that
// cannot sum products of bytes (AVX2). multiplier * (code - offset) fits 16 bits, so a super-block
// of a panel is unpacked to that once and multiplied as it is by the rows of a band: sums of a
// whole super-block stay in registers, exact as everywhere. One row takes the weights as they are
// unpacked.
#pragma once

#include "ashlar/kernels/quant_tile.h"
#include "ashlar/kernels/vec_pairs.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

template <typename F>
concept Wide = !F::kNibbles && !F::kHasMinimum;

struct WideRow {  // one block of a row
  int16_t pairs[kQuantBlock];
  float scale;  // of its super-block
};
template <Wide F>
struct QuantRowOf<F> {
  using type = WideRow;
};

template <Wide F, typename T>
ASHLAR_INLINE void quantise_block(const T* x, const QuantScale& by, WideRow& out) {
  store_pairs(out.pairs, quantise(x, by), quantise(x + kLanes, by));
  out.scale = by.scale;
}

inline constexpr int64_t kPairsBytes = 2 * kWordsBytes;  // of a word of each of 16 outputs

// A super-block of a panel, unpacked.
struct alignas(64) WideSuper {
  std::byte words[kSuperBlocks * kBlockWords * kPairsBytes];
  int64_t blocks;
  Vec scale;
};

// f(block, phase), of blocks [begin, end).
template <Wide F, typename Take>
ASHLAR_INLINE void each_phase(int64_t begin, int64_t end, Take&& f) {
#pragma GCC unroll 1
  for (int64_t first = begin; first < end; first += F::kPeriod) {
#pragma GCC unroll 4
    for (int phase = 0; phase < F::kPeriod; ++phase) f(first + phase, phase);
  }
}

// f(word of the block, its pairs), of block b.
template <Wide F, typename Take>
ASHLAR_INLINE void each_word(const std::byte* panel, int64_t b, int phase, Take&& f) {
  constexpr int kSteps = static_cast<int>(kBlockWords) / F::kSubBlocks;
#pragma GCC unroll 2
  for (int sub = 0; sub < F::kSubBlocks; ++sub) {
    const Ints multiplier = in_pairs(F::multiplier(panel, b, sub));
#pragma GCC unroll 8
    for (int g = sub * kSteps; g < (sub + 1) * kSteps; ++g) {
      f(g, times(split(F::codes(panel, b, phase, g), F::kOffset), multiplier));
    }
  }
}

template <Wide F>
static void unpack_super(const std::byte* panel, int64_t begin, int64_t end, WideSuper& to) {
  std::byte* words = to.words;
  each_phase<F>(begin, end, [&](int64_t b, int phase) {
    each_word<F>(panel, b, phase, [&](int g, const Pairs& w) {
      store(reinterpret_cast<int32_t*>(words + g * kPairsBytes), w.even);
      store(reinterpret_cast<int32_t*>(words + g * kPairsBytes + kWordsBytes), w.odd);
    });
    words += kBlockWords * kPairsBytes;
  });
  to.blocks = end - begin;
  to.scale = F::scale(panel, begin / kSuperBlocks);
}

// chain + scale * total, as every kernel of the contract ends a super-block; a chain starts at 0.
ASHLAR_INLINE void add_total(Ints total, Vec scale, float by, bool starts, float* to) {
  store(to, fma(scale * broadcast(by), to_floats(total), starts ? zero() : load(to)));
}

// out[i * stride + j] of a tile of kRows rows (WideRow of the super-block, kRows side by side).
template <int kRows>
static void wide_tile(const WideSuper& weights, const WideRow* rows, bool starts, float* out,
                      int64_t stride, Ahead ahead) {
  Ints totals[kRows];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) totals[i] = ints(0);
  const std::byte* words = weights.words;
  const WideRow* row = rows;
#pragma GCC unroll 1
  for (int64_t b = 0; b < weights.blocks; ++b, row += kRows) {
    fetch<1>(ahead);
#pragma GCC unroll 8
    for (int g = 0; g < kBlockWords; ++g, words += kPairsBytes) {
#pragma GCC unroll 2
      for (int odd = 0; odd < 2; ++odd) {
        const Ints w = load_words(words + odd * kWordsBytes);
#pragma GCC unroll 8
        for (int i = 0; i < kRows; ++i) {
          totals[i] = dot_pairs(totals[i], w, broadcast_pair(row[i].pairs + 4 * g + 2 * odd));
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    add_total(totals[i], weights.scale, rows[i].scale, starts, out + i * stride);
  }
}

using WideTile = void (*)(const WideSuper& weights, const WideRow* rows, bool starts, float* out,
                          int64_t stride, Ahead ahead);
template <int kRows = kQuantRows>
ASHLAR_INLINE WideTile pick_wide_tile(int64_t rows) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return pick_wide_tile<kRows - 1>(rows);
  }
  return &wide_tile<kRows>;
}

// One row by one panel, over blocks [begin, end) of one super-block.
template <Wide F>
static void wide_row(const std::byte* panel, const WideRow* row, int64_t begin, int64_t end,
                     float* out) {
  Ints even = ints(0), odd = ints(0);
  Ahead ahead = {panel + F::panel_bytes(begin) + kBytesAhead, kBlockStep<F>};
  each_phase<F>(begin, end, [&](int64_t b, int phase) {
    fetch<1>(ahead);
    const int16_t* pairs = row[b - begin].pairs;
    each_word<F>(panel, b, phase, [&](int g, const Pairs& w) {
      even = dot_pairs(even, w.even, broadcast_pair(pairs + 4 * g));
      odd = dot_pairs(odd, w.odd, broadcast_pair(pairs + 4 * g + 2));
    });
  });
  add_total(even + odd, F::scale(panel, begin / kSuperBlocks), row->scale, begin == 0, out);
}

template <Wide F, typename Before, typename Done>
void add_span(const RowBand<WideRow>& band, const PanelGroup& b, int64_t begin, int64_t end,
              const Piece&, float* sums, Before&& before, Done&& done) {
  WideSuper weights;
  for (int64_t super = begin; super < end; super += kSuperBlocks) {
    const int64_t stop = lesser(end, super + kSuperBlocks);
    if (band.count == 1) {
      if (stop == end) before(0, 1);
      wide_row<F>(b.first, band.rows + super, super, stop, sums);
      if (stop == end) done(0, 1);
      continue;
    }
    unpack_super<F>(b.first, super, stop, weights);
    const Ahead ahead = {b.first + F::panel_bytes(stop), kBlockStep<F>};
    for (int64_t m = 0; m < band.count; m += band.tile_rows) {
      const int64_t rows = lesser(band.tile_rows, band.count - m);
      if (stop == end) before(m, rows);
      pick_wide_tile(rows)(weights, band.rows + m * band.blocks + super * rows, super == 0,
                           sums + m * kQuantStride, kQuantStride, m == 0 ? ahead : Ahead{});
      if (stop == end) done(m, rows);
    }
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
