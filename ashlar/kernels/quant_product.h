// What products with quantised weights are made of: rounding tiles of rows, and panels of weights
// by a band of rows.
#pragma once

#include "ashlar/kernels/norm_row.h"
#include "ashlar/kernels/quant_bands.h"
#include "ashlar/kernels/quant_tile.h"
#if defined(__AVX2__) && !defined(__AVX512F__)
#include "ashlar/kernels/quant_wide.h"
#endif
#include "ashlar/kernels/parallel.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// Tiles of rows of a band at most: it and a panel share the L2 cache.
inline constexpr int64_t kBandTiles = 96 / kQuantRows;
inline constexpr int64_t kBandRows = kBandTiles * kQuantRows;
inline constexpr int64_t kSpanBlocks = 16;  // a multiple of kSuperBlocks
// Below so many rows one thread rounds them faster than a team would.
inline constexpr int64_t kRowsAlone = 4;

// A row that is alone reads one panel after the other.
ASHLAR_INLINE int64_t panels_at_once(int64_t rows) { return rows == 1 ? 1 : kQuantPanels; }

// Of `rows` rows in even tiles: none of a single row. The last one may have fewer.
ASHLAR_INLINE int64_t rows_of_tile(int64_t rows) {
  return ceil_div(rows, ceil_div(rows, kQuantRows));
}

template <typename F>
using RowOf = typename QuantRowOf<F>::type;

template <typename F>
int64_t panel_bytes(int64_t r) {
  return F::panel_bytes(r / kQuantBlock);
}

// Of the rows of A as B's format wants them.
ASHLAR_INLINE int64_t rounded_bytes(const GemmArgs& args) {
  return with_format(args.packed_dtype, [&]<typename F>(F) {
    const int64_t blocks = args.m * (args.r / kQuantBlock);
    return round_up(blocks * static_cast<int64_t>(sizeof(RowOf<F>)), 64);
  });
}

// A super-block of a row, `blocks` from x on: to[b * tile_rows] is block b's place in a tile of so
// many rows.
template <typename F, typename T>
ASHLAR_INLINE void round_super(const T* x, int64_t blocks, int64_t tile_rows, RowOf<F>* to) {
  const QuantScale by = quantise_scale(x, blocks);
  for (int64_t b = 0; b < blocks; ++b) {
    quantise_block<F>(x + b * kQuantBlock, by, to[b * tile_rows]);
  }
}

// Row `row` of A to its place in a tile of tile_rows.
template <typename F>
ASHLAR_INLINE void round_row(const GemmArgs& args, int64_t row, int64_t tile_rows, RowOf<F>* to) {
  const int64_t blocks = args.r / kQuantBlock;
  with_elements(args.a, [&](const auto* a) {
    const auto* x = a + row * args.a.row_stride;
    each_super(blocks, [&](int64_t b, int64_t count) {
      round_super<F>(x + b * kQuantBlock, count, tile_rows, to + b * tile_rows);
    });
  });
}

// The same behind a norm, of f32: normalised elements stay in registers and the L1 cache.
template <typename F>
ASHLAR_INLINE void round_normalised(const GemmArgs& args, int64_t row, int64_t tile_rows,
                                    RowOf<F>* to) {
  const float* x = static_cast<const float*>(args.a.data) + row * args.a.row_stride;
  const RowStatistics statistics = statistics_of(args.norm, x, args.r);
  each_super(args.r / kQuantBlock, [&](int64_t b, int64_t count) {
    alignas(64) float values[kQuantSuper];
    normalise(args.norm, statistics, x, b * kQuantBlock, count * kQuantBlock, values);
    round_super<F>(values, count, tile_rows, to + b * tile_rows);
  });
}

// The rows of A as B's format wants them. Tiles are parted where they are too few for the threads.
template <typename F>
void round_rows(const GemmArgs& args, std::byte* rounded, const Team& team) {
  auto* to = reinterpret_cast<RowOf<F>*>(rounded);
  const int64_t blocks = args.r / kQuantBlock, tile_rows = rows_of_tile(args.m);
  const int64_t tiles = ceil_div(args.m, tile_rows);
  const int64_t parts = lesser(ceil_div(team.threads, tiles), tile_rows);
  const int64_t part_rows = ceil_div(tile_rows, parts);
  const auto round_part = [&](int64_t part, int) {
    const int64_t first = part / parts * tile_rows, count = lesser(tile_rows, args.m - first);
    const int64_t begin = part % parts * part_rows, end = lesser(count, begin + part_rows);
    for (int64_t i = begin; i < end; ++i) {
      RowOf<F>* row = to + first * blocks + i;
      if (args.norm.weight != nullptr) {
        round_normalised<F>(args, first + i, count, row);
      } else {
        round_row<F>(args, first + i, count, row);
      }
    }
  };
  if (args.m > kRowsAlone) return parallel_for(team, tiles * parts, round_part);
  for (int64_t part = 0; part < tiles * parts; ++part) round_part(part, 0);
}

// A span of up to kQuantPanels panels that are not packed yet.
template <typename F>
struct SpanPanels {
  static constexpr int64_t kBytes = kSpanBlocks / kSuperBlocks * F::kSuperBytes;
  alignas(64) std::byte bytes[kQuantPanels][kBytes];

  // Blocks [begin, end) of panels `first` on, found at their place behind what is returned.
  PanelGroup make(const GemmArgs& args, int64_t first, int64_t count, int64_t begin, int64_t end) {
    pack_panels<F>(static_cast<const std::byte*>(args.blocks_b), args.r, args.n, first, count,
                   begin, end, bytes[0], kBytes);
    const auto place = reinterpret_cast<uintptr_t>(bytes[0]);
    const auto before = static_cast<uintptr_t>(F::panel_bytes(begin));
    return {reinterpret_cast<const std::byte*>(place - before), kBytes, count};
  }
};

// Rows [m0, m1), whole tiles and at most kBandRows of them, by panels [first, last):
// done(sums, m, rows, n, columns) has sums[i * kQuantStride + j] of rows of C from m on, columns
// from n on; before(m, rows, n, columns) comes before the last of their products.
template <typename F, typename Before, typename Done>
ASHLAR_INLINE void multiply_band(const GemmArgs& args, const std::byte* rounded, int64_t m0,
                                 int64_t m1, int64_t first, int64_t last, Before&& before,
                                 Done&& done) {
  const auto* rows = reinterpret_cast<const RowOf<F>*>(rounded);
  const int64_t stride = panel_bytes<F>(args.r), blocks = args.r / kQuantBlock;
  const RowBand<RowOf<F>> band = {rows + m0 * blocks, m1 - m0, rows_of_tile(args.m), blocks};
  alignas(64) float sums[kBandRows * kQuantStride];
  SpanPanels<F> made;
  const auto* panels = static_cast<const std::byte*>(args.packed_b);
  // Panels that several tiles meet are cut along r, so that a piece stays in the L1 cache.
  const int64_t span = band.count > band.tile_rows || panels == nullptr ? kSpanBlocks : blocks;
  const int64_t at_once = panels_at_once(args.m);
  for (int64_t panel = first; panel < last; panel += at_once) {
    PanelGroup b = {panels, stride, lesser(at_once, last - panel)};
    if (panels != nullptr) b.first += panel * stride;
    const int64_t n = panel * kLanes, columns = lesser(b.count * kLanes, args.n - n);
    for (int64_t begin = 0; begin < blocks; begin += span) {
      const int64_t end = lesser(blocks, begin + span);
      Piece piece = {begin == 0 && panel == first, b.first, 0};
      if (panels == nullptr) {
        b = made.make(args, panel, b.count, begin, end);
        piece = {true, made.bytes[0], 0};
      } else if (end < blocks) {
        piece.next = b.first + F::panel_bytes(end);
        piece.bytes = F::panel_bytes(lesser(blocks - end, span));
      } else if (panel + at_once < last) {
        piece.next = b.first + at_once * stride;
        piece.bytes = F::panel_bytes(lesser(blocks, span));
      }
      const bool ends = end == blocks;
      add_span<F>(
          band, b, begin, end, piece, sums,
          [&](int64_t m, int64_t count) {
            if (ends) before(m0 + m, count, n, columns);
          },
          [&](int64_t m, int64_t count) {
            // Taken while the next tile is computed.
            if (ends) done(sums + m * kQuantStride, m0 + m, count, n, columns);
          });
    }
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
