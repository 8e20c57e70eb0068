// gemm where B is quantised and packed. Rows are rounded to bytes first, then tiles of rows meet
// panels of B. Few rows: every panel is read once, at the speed of memory. Many: panels stay in the
// caches while a band of rows goes by.
#include "ashlar/kernels/quant_gemm.h"

#include "ashlar/kernels/gemm_epilogue.h"
#include "ashlar/kernels/quant_bands.h"
#include "ashlar/kernels/quant_tile.h"
#if defined(__AVX2__) && !defined(__AVX512F__)
#include "ashlar/kernels/quant_wide.h"
#endif

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

namespace {

// Rows that a task takes at most, and panels: a band of rows and a panel share the L2 cache.
constexpr int64_t kBandTiles = 96 / kQuantRows;
constexpr int64_t kTaskPanels = 8;
constexpr int64_t kSpanBlocks = 16;  // a multiple of kSuperBlocks
constexpr int64_t kTasksEach = 8, kTasksOfFew = 2;
// Below so many rows one thread rounds them faster than a team would.
constexpr int64_t kRowsAlone = 4;

// Few rows wait for memory, which a core reads the faster the longer it goes straight on: through
// many panels, one after the other where a row is alone.
int64_t tasks_each(int64_t rows) { return rows <= kQuantRows ? kTasksOfFew : kTasksEach; }
int64_t panels_at_once(int64_t rows) { return rows == 1 ? 1 : kQuantPanels; }

struct QuantPlan : QuantBands {
  int64_t blocks;
  int64_t tile_rows;  // the last tile may have fewer
};

QuantPlan plan_quant(const GemmArgs& args, int threads) {
  const int64_t tile_rows =
      ceil_div(args.m, ceil_div(args.m, kQuantRows));  // even: no tile of a single row
  const QuantBands bands =
      cut_bands(ceil_div(args.m, tile_rows), kBandTiles, ceil_div(args.n, kLanes), kTaskPanels,
                kQuantPanels, tasks_each(args.m) * threads);
  return {bands, args.r / kQuantBlock, tile_rows};
}

template <typename F>
using RowOf = typename QuantRowOf<F>::type;

template <typename F>
void round_tile(const GemmArgs& args, const QuantPlan& p, int64_t tile, RowOf<F>* rows) {
  const int64_t first = tile * p.tile_rows, count = lesser(p.tile_rows, args.m - first);
  RowOf<F>* to = rows + first * p.blocks;
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

// The rows of A as the format of one product wants them.
int64_t rows_bytes(const GemmArgs& args) {
  return with_format(args.packed_dtype, [&]<typename F>(F) {
    const int64_t blocks = args.m * (args.r / kQuantBlock);
    return round_up(blocks * static_cast<int64_t>(sizeof(RowOf<F>)), 64);
  });
}

template <typename F>
void round_rows(const GemmArgs& args, const QuantPlan& p, std::byte* rows, const Team& team) {
  auto* to = reinterpret_cast<RowOf<F>*>(rows);
  if (args.m <= kRowsAlone) {
    for (int64_t tile = 0; tile < p.tiles; ++tile) round_tile<F>(args, p, tile, to);
  } else {
    parallel_for(team, p.tiles, [&](int64_t tile, int) { round_tile<F>(args, p, tile, to); });
  }
}

// A band of rows by some panels.
template <typename F>
void run_task(const GemmArgs& args, const QuantPlan& p, const std::byte* rounded, int64_t task) {
  const auto* rows = reinterpret_cast<const RowOf<F>*>(rounded);
  const int64_t stride = panel_bytes<F>(args.r);
  const int64_t band = task / p.columns, column = task % p.columns;
  const int64_t last_panel = lesser(p.panels, (column + 1) * p.task_panels);
  const int64_t m0 = band * p.band_tiles * p.tile_rows;
  const int64_t m1 = lesser(args.m, m0 + p.band_tiles * p.tile_rows);
  const RowBand<RowOf<F>> of_rows = {rows + m0 * p.blocks, m1 - m0, p.tile_rows, p.blocks};
  float sums[kBandTiles * kQuantRows * kQuantStride];
  // Panels that several tiles meet are cut along r, so that a piece stays in the L1 cache.
  const int64_t span = m1 - m0 > p.tile_rows ? kSpanBlocks : p.blocks;
  for (int64_t panel = column * p.task_panels; panel < last_panel;
       panel += panels_at_once(args.m)) {
    const PanelGroup b = {static_cast<const std::byte*>(args.packed_b) + panel * stride, stride,
                          lesser(panels_at_once(args.m), last_panel - panel)};
    const int64_t n0 = panel * kLanes, columns = lesser(b.count * kLanes, args.n - n0);
    for (int64_t begin = 0; begin < p.blocks; begin += span) {
      const int64_t end = lesser(p.blocks, begin + span);
      add_span<F>(of_rows, b, begin, end, sums, [&](int64_t m, int64_t count) {
        if (end < p.blocks) return;
        // C is written while the next tile is computed.
        finish_tile(args, sums + m * kQuantStride, kQuantStride, m0 + m, count, n0, columns);
      });
    }
  }
}

// The first product that wants rows of the format of product i.
int first_alike(const GemmArgs* products, int i) {
  int first = 0;
  while (products[first].packed_dtype != products[i].packed_dtype) ++first;
  return first;
}

struct QuantProduct {
  QuantPlan plan;
  const std::byte* rows;
};

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

int64_t quant_gemm_scratch(const GemmArgs* products, int count) {
  int64_t bytes = 0;
  for (int i = 0; i < count; ++i) {
    if (first_alike(products, i) == i) bytes += rows_bytes(products[i]);
  }
  return bytes;
}

void quant_gemm(const GemmArgs* products, int count, const Team& team) {
  QuantProduct all[kMostProducts];
  std::byte* scratch = team.scratch;
  int64_t tasks = 0;
  for (int i = 0; i < count; ++i) {
    const GemmArgs& args = products[i];
    all[i].plan = plan_quant(args, team.threads);
    tasks += all[i].plan.bands * all[i].plan.columns;
    if (const int first = first_alike(products, i); first < i) {
      all[i].rows = all[first].rows;
      continue;
    }
    all[i].rows = scratch;
    with_format(args.packed_dtype,
                [&]<typename F>(F) { round_rows<F>(args, all[i].plan, scratch, team); });
    scratch += rows_bytes(args);
  }
  parallel_for(team, tasks, [&](int64_t task, int) {
    int i = 0;
    for (int64_t own; task >= (own = all[i].plan.bands * all[i].plan.columns); ++i) task -= own;
    with_format(products[i].packed_dtype,
                [&]<typename F>(F) { run_task<F>(products[i], all[i].plan, all[i].rows, task); });
  });
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
