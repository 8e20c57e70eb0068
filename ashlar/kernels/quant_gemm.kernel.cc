// gemm where B is quantised and packed. Rows are rounded to bytes first, then tiles of rows meet
// panels of B. Few rows: every panel is read once, at the speed of memory. Many: panels stay in the
// caches while a band of rows goes by.
#include "ashlar/kernels/quant_gemm.h"

#include "ashlar/kernels/gemm_epilogue.h"
#include "ashlar/kernels/quant_bands.h"
#include "ashlar/kernels/quant_tile.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

namespace {

// Rows that a task takes at most, and panels: a band of rows and a panel share the L2 cache.
constexpr int64_t kBandTiles = 96 / kQuantRows;
constexpr int64_t kTaskPanels = 8;
constexpr int64_t kSpanBlocks = 16;  // a multiple of kSuperBlocks
constexpr int64_t kTasksEach = 8;
// Below so many rows one thread rounds them faster than a team would.
constexpr int64_t kRowsAlone = 4;

struct QuantPlan : QuantBands {
  int64_t blocks;
  int64_t tile_rows;  // the last tile may have fewer
};

QuantPlan plan_quant(const GemmArgs& args, int threads) {
  const int64_t tile_rows =
      ceil_div(args.m, ceil_div(args.m, kQuantRows));  // even: no tile of a single row
  const QuantBands bands =
      cut_bands(ceil_div(args.m, tile_rows), kBandTiles, ceil_div(args.n, kLanes), kTaskPanels,
                kQuantPanels, kTasksEach * threads);
  return {bands, args.r / kQuantBlock, tile_rows};
}

template <typename F>
void round_tile(const GemmArgs& args, const QuantPlan& p, int64_t tile, QuantRow* rows) {
  const int64_t first = tile * p.tile_rows, count = lesser(p.tile_rows, args.m - first);
  QuantRow* to = rows + first * p.blocks;
  with_elements(args.a, [&](const auto* a) {
    for (int64_t i = 0; i < count; ++i) {
      const auto* x = a + (first + i) * args.a.row_stride;
      each_super(x, p.blocks, [&](int64_t b, int64_t last, const QuantScale& by) {
        for (; b < last; ++b) quantise_block<F>(x + b * kQuantBlock, by, to[b * count + i]);
      });
    }
  });
}

template <typename F>
int64_t panel_bytes(int64_t r) {
  return F::panel_bytes(r / kQuantBlock);
}

template <typename F>
void multiply(const GemmArgs& args, const QuantPlan& p, const QuantRow* rows, const Team& team) {
  const int64_t stride = panel_bytes<F>(args.r);
  parallel_for(team, p.bands * p.columns, [&](int64_t task, int) {
    const int64_t band = task / p.columns, column = task % p.columns;
    const int64_t last_tile = lesser(p.tiles, (band + 1) * p.band_tiles);
    const int64_t last_panel = lesser(p.panels, (column + 1) * p.task_panels);
    constexpr int64_t kStride = kQuantPanels * kLanes;
    float sums[kBandTiles * kQuantRows * kStride];
    // Panels that several tiles meet are cut along r, so that a piece stays in the L1 cache.
    const int64_t first_tile = band * p.band_tiles;
    const int64_t span = last_tile - first_tile > 1 ? kSpanBlocks : p.blocks;
    for (int64_t panel = column * p.task_panels; panel < last_panel; panel += kQuantPanels) {
      const std::byte* b = static_cast<const std::byte*>(args.packed_b) + panel * stride;
      const int64_t n0 = panel * kLanes, panels = lesser(kQuantPanels, last_panel - panel);
      const int64_t columns = lesser(panels * kLanes, args.n - n0);
      const int64_t first_row = first_tile * p.tile_rows;
      for (int64_t begin = 0; begin < p.blocks; begin += span) {
        const int64_t end = lesser(p.blocks, begin + span);
        for (int64_t tile = first_tile; tile < last_tile; ++tile) {
          const int64_t m0 = tile * p.tile_rows, count = lesser(p.tile_rows, args.m - m0);
          const QuantTile run = pick_quant_tile<F>(count, panels);
          float* of_tile = sums + (m0 - first_row) * kStride;
          run(b, stride, rows + m0 * p.blocks, begin, end, of_tile, kStride);
          // C is written while the next tile is computed.
          if (end == p.blocks) finish_tile(args, of_tile, kStride, m0, count, n0, columns);
        }
      }
    }
  });
}

}  // namespace

int64_t quant_packed_bytes(DType dtype, int64_t r, int64_t n) {
  return with_format(dtype, [&]<typename F>(F) { return ceil_div(n, kLanes) * panel_bytes<F>(r); });
}

void quant_pack(const MatrixView& b, int64_t r, int64_t n, int64_t n_begin, int64_t n_end,
                void* packed) {
  with_format(b.dtype, [&]<typename F>(F) {
    const int64_t row_bytes = r / F::kElements * F::kSourceBytes;
    constexpr int64_t kSourceSuper = kQuantSuper / F::kElements * F::kSourceBytes;
    for (int64_t n0 = n_begin; n0 < lesser(n_end, n); n0 += kLanes) {
      std::byte* panel = static_cast<std::byte*>(packed) + n0 / kLanes * panel_bytes<F>(r);
      if (n - n0 < kLanes) std::memset(panel, 0, static_cast<size_t>(panel_bytes<F>(r)));
      for (int64_t i = 0; i < lesser(kLanes, n - n0); ++i) {
        const std::byte* from = static_cast<const std::byte*>(b.data) + (n0 + i) * row_bytes;
        std::byte* to = panel;
        for (int64_t k = 0; k < row_bytes; k += kSourceSuper, to += F::kSuperBytes) {
          F::pack(from + k, lesser(kSourceSuper, row_bytes - k) / F::kSourceBytes, to, i);
        }
      }
    }
  });
}

int64_t quant_gemm_scratch(const GemmArgs& args) {
  return args.m * (args.r / kQuantBlock) * kQuantRowBytes;
}

void quant_gemm(const GemmArgs& args, const Team& team) {
  const QuantPlan p = plan_quant(args, team.threads);
  auto* rows = reinterpret_cast<QuantRow*>(team.scratch);
  with_format(args.packed_dtype, [&]<typename F>(F) {
    if (args.m <= kRowsAlone) {
      for (int64_t tile = 0; tile < p.tiles; ++tile) round_tile<F>(args, p, tile, rows);
    } else {
      parallel_for(team, p.tiles, [&](int64_t tile, int) { round_tile<F>(args, p, tile, rows); });
    }
    multiply<F>(args, p, rows, team);
  });
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
