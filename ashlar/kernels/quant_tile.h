// Micro-kernel of quantised products: a tile of up to kQuantRows rows by up to kQuantPanels panels
// of 16 outputs, over the whole of r. Arithmetic is the contract of args.h: integer sums within a
// super-block are exact, then one chain of fma over the super-blocks.
#pragma once

#include "ashlar/kernels/quant_formats.h"
#include "ashlar/kernels/quant_rows.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// The integer sums of rows and panels stay in registers (avx512: 16 of 32, avx2: 12 of 16), enough
// of them to hide how long each takes; what is touched once a sub-block may not.
#if defined(__AVX512F__)
inline constexpr int kQuantRows = 8;
inline constexpr int kQuantPanels = 2;
#elif defined(__AVX2__)
inline constexpr int kQuantRows = 6;
inline constexpr int kQuantPanels = 1;
#else
inline constexpr int kQuantRows = 2;
inline constexpr int kQuantPanels = 1;
#endif

// sums[i][p]: sum over sub-block `sub` of block b of (code - offset) * the row's code. For
// processors that sum bytes.
template <typename F, int kRows, int kPanels>
ASHLAR_INLINE void dot_block(const std::byte* const (&panels)[kPanels], int64_t b, int phase,
                             int sub, const QuantRow* rows, Ints (&sums)[kRows][kPanels]) {
  constexpr int kSteps = static_cast<int>(kBlockWords) / F::kSubBlocks;
  const int first = sub * kSteps;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) sums[i][p] = ints(rows[i].starts[sub]);
  }
#pragma GCC unroll 8
  for (int g = 0; g < kSteps; ++g) {
    Ints codes[kPanels];
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) codes[p] = F::codes(panels[p], b, phase, first + g);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Ints x = broadcast_word(rows[i].codes + 4 * (first + g));
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) sums[i][p] = dot_bytes(sums[i][p], codes[p], x);
    }
  }
}

// totals[i]: multiplier * that sum and what was there. For processors that sum nibbles, of codes of
// four bits (others: quant_wide.h).
template <typename F, int kRows>
ASHLAR_INLINE void add_nibbles(const std::byte* panel, int64_t b, int phase, int sub,
                               const QuantRow* rows, Ints (&totals)[kRows][1]) {
  constexpr int kSteps = static_cast<int>(kBlockWords) / F::kSubBlocks;
  static_assert(F::kNibbles && kSteps <= kMostNibbleSteps);
  const int first = sub * kSteps;
  const Ints multiplier = F::multiplier(panel, b, sub);
  NibbleSums sums[kRows];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    sums[i] = nibble_sums(F::kOffset != 0 ? rows[i].starts[sub] : 0);
  }
#pragma GCC unroll 8
  for (int g = 0; g < kSteps; ++g) {
    const Ints codes = F::codes(panel, b, phase, first + g);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      sums[i] = dot_nibbles(sums[i], codes, broadcast_word(rows[i].codes + 4 * (first + g)));
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) totals[i][0] = add_scaled(totals[i][0], sums[i], multiplier);
}

// What a tile fetches meanwhile, `step` bytes of each panel a block: memory would rest otherwise.
// After `left` blocks, unless that is 0, it goes on at `next`.
struct Ahead {
  const std::byte* from = nullptr;
  int64_t step = 0, left = 0;
  const std::byte* next = nullptr;
};
// Whether a span of a panel lies in memory still, and what of the panels is read after it: `bytes`
// from `next` on.
struct Piece {
  bool cold;
  const std::byte* next;
  int64_t bytes;
};

// Products of that many rows leave the processor no time to run ahead of them to the next blocks;
// nor do those of one, where blocks are short, or too many instructions (nibble sums).
template <typename F>
inline constexpr int kLeastRowsAhead = F::kNibbles || !kSumsBytes ? 1 : 3;
inline constexpr int64_t kBytesAhead = 3072;
// Bytes of a block with its part of what stands before the super-block.
template <typename F>
inline constexpr int64_t kBlockStep = F::kSuperBytes / kSuperBlocks;

// For a tile that fetches its own panels from block b on: what lies kBytesAhead behind a block; at
// their end, what is read after them.
template <typename F>
ASHLAR_INLINE Ahead just_ahead(const std::byte* panel, int64_t b, int64_t blocks,
                               const std::byte* next) {
  constexpr int64_t kStep = kBlockStep<F>;
  constexpr int64_t kAhead = (kBytesAhead + kStep - 1) / kStep;
  const int64_t left = blocks - b - kAhead;
  if (left <= 0) return {next - left * kStep, kStep, 0, next};
  return {panel + (b + kAhead) * kStep, kStep, left, next};
}

template <int kPanels>
ASHLAR_INLINE void fetch(Ahead& ahead, int64_t panel_bytes = 0) {
#pragma GCC unroll 2
  for (int p = 0; p < kPanels; ++p) {
    const std::byte* from = ahead.from + p * panel_bytes;
    for (int64_t line = 0; line < ahead.step; line += 64) __builtin_prefetch(from + line, 0, 3);
  }
  ahead.from += ahead.step;
  if (--ahead.left == 0) ahead.from = ahead.next;
}

// totals[i][p]: the sum over block b, phase by phase of F, of multiplier * (code - offset) * the
// row's code, and what was there.
template <typename F, int kRows, int kPanels>
ASHLAR_INLINE void add_block(const std::byte* const (&panels)[kPanels], int64_t b, int phase,
                             const QuantRow* rows, Ints (&totals)[kRows][kPanels]) {
#pragma GCC unroll 2
  for (int sub = 0; sub < F::kSubBlocks; ++sub) {
    if constexpr (!kSumsBytes) {
      static_assert(kPanels == 1);
      add_nibbles<F>(panels[0], b, phase, sub, rows, totals);
    } else {
      Ints sums[kRows][kPanels];
      dot_block<F>(panels, b, phase, sub, rows, sums);
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) {
        const Ints multiplier = F::multiplier(panels[p], b, sub);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
          if constexpr (F::kShortSums) {
            totals[i][p] = add_short_products(totals[i][p], sums[i][p], multiplier);
          } else {
            totals[i][p] = totals[i][p] + sums[i][p] * multiplier;
          }
        }
      }
    }
  }
}

// sums[i][p]: the sum over blocks [begin, end) of multiplier of the minimum * the row's codes.
// Below 2^24, and so exact in floats.
template <typename F, int kRows, int kPanels>
ASHLAR_INLINE void sum_minima(const std::byte* const (&panels)[kPanels], int64_t begin, int64_t end,
                              const QuantRow* rows, Vec (&sums)[kRows][kPanels]) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    for (int p = 0; p < kPanels; ++p) sums[i][p] = zero();
  }
#pragma GCC unroll 1
  for (int64_t b = begin; b < end; ++b, rows += kRows) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) {
      const Vec multiplier = to_floats(F::minimum_multiplier(panels[p], b));
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        sums[i][p] = fma(multiplier, broadcast(rows[i].sum), sums[i][p]);
      }
    }
  }
}

// Blocks [begin, end) of r, where begin is a multiple of kSuperBlocks: the chains start from 0 at
// the first block and go on from `out` elsewhere. out[i * stride + p * 16 + j] of a tile of `rows`
// (QuantRow of all blocks, kRows side by side) and of panels panel_bytes apart.
template <typename F, int kRows, int kPanels>
static void quant_tile(const std::byte* panel, int64_t panel_bytes, const QuantRow* rows,
                       int64_t begin, int64_t end, float* out, int64_t stride, Ahead ahead) {
  const std::byte* panels[kPanels];
#pragma GCC unroll 2
  for (int p = 0; p < kPanels; ++p) panels[p] = panel + p * panel_bytes;
  rows += begin * kRows;
#pragma GCC unroll 1
  for (int64_t super = begin; super < end; super += kSuperBlocks) {
    const int64_t stop = lesser(end, super + kSuperBlocks);
    const QuantRow* of_super = rows;
    Ints totals[kRows][kPanels];
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      for (int p = 0; p < kPanels; ++p) totals[i][p] = ints(0);
    }
#pragma GCC unroll 1
    for (int64_t first = super; first < stop; first += F::kPeriod) {
#pragma GCC unroll 4
      for (int phase = 0; phase < F::kPeriod; ++phase, rows += kRows) {
        if constexpr (kRows >= kLeastRowsAhead<F>) fetch<kPanels>(ahead, panel_bytes);
        add_block<F>(panels, first + phase, phase, rows, totals);
      }
    }
    Vec minima[kRows][kPanels];
    if constexpr (F::kHasMinimum) sum_minima<F>(panels, super, stop, of_super, minima);
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) {
      const Vec scale = F::scale(panels[p], super / kSuperBlocks);
      const Vec minimum = F::minimum(panels[p], super / kSuperBlocks);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        float* to = out + i * stride + p * kLanes;
        const Vec by = broadcast(of_super[i].scale);
        Vec chain = super == 0 ? zero() : load(to);
        chain = fma(scale * by, to_floats(totals[i][p]), chain);
        if constexpr (F::kHasMinimum) chain = fnma(minimum * by, minima[i][p], chain);
        store(to, chain);
      }
    }
  }
}

using QuantTile = void (*)(const std::byte* panel, int64_t panel_bytes, const QuantRow* rows,
                           int64_t begin, int64_t end, float* out, int64_t stride, Ahead ahead);
template <typename F, int kRows = kQuantRows>
ASHLAR_INLINE QuantTile pick_quant_tile(int64_t rows, int64_t panels) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return pick_quant_tile<F, kRows - 1>(rows, panels);
  }
  if (kQuantPanels > 1 && panels == 1) return &quant_tile<F, kRows, 1>;
  return &quant_tile<F, kRows, kQuantPanels>;
}

// Rows in tiles of tile_rows (the last one may have fewer), a tile's blocks one after the other.
template <typename Row>
struct RowBand {
  const Row* rows;
  int64_t count, tile_rows, blocks;
};
struct PanelGroup {  // up to kQuantPanels
  const std::byte* first;
  int64_t bytes, count;  // of a panel
};
inline constexpr int64_t kQuantStride = kQuantPanels * kLanes;

// sums[i * kQuantStride + p * 16 + j], as quant_tile has them, of all rows of a band;
// before(first row, rows) and done(first row, rows) around each tile. Tiles take turns to fetch
// what is next, but for the first one of a cold piece, which fetches that.
template <typename F, typename Before, typename Done>
void add_span(const RowBand<QuantRow>& band, const PanelGroup& b, int64_t begin, int64_t end,
              const Piece& piece, float* sums, Before&& before, Done&& done) {
  const int64_t blocks = end - begin, tiles = ceil_div(band.count, band.tile_rows);
  const int64_t first = piece.cold || tiles == 1 ? 1 : 0;
  const int64_t step =
      tiles > first ? round_up(ceil_div(piece.bytes, blocks * (tiles - first)), 64) : 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t m = tile * band.tile_rows, rows = lesser(band.tile_rows, band.count - m);
    const Ahead ahead =
        tile < first ? just_ahead<F>(b.first, begin, band.blocks, b.first + b.count * b.bytes)
                     : Ahead{piece.next + (tile - first) * blocks * step, step};
    before(m, rows);
    pick_quant_tile<F>(rows, b.count)(b.first, b.bytes, band.rows + m * band.blocks, begin, end,
                                      sums + m * kQuantStride, kQuantStride, ahead);
    done(m, rows);
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
