// gemm, and pack_b for weights that are packed once. gemm_plan.h says how the work is cut,
// gemm_tile.h and, for few rows, gemm_streams.h hold the arithmetic, pack.h the layout of packed
// operands.
#include "ashlar/kernels/gemm_areas.h"
#include "ashlar/kernels/gemm_epilogue.h"
#include "ashlar/kernels/gemm_plan.h"
#include "ashlar/kernels/gemm_streams.h"
#include "ashlar/kernels/quant_gemm.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

namespace {

namespace base = ASHLAR_BASE_NAMESPACE;

struct Gemm {
  const GemmArgs& args;
  const GemmPlan& plan;
  const Team& team;
  Lines a, b;
  float *packed_a, *packed_b, *area_sums;
  std::byte* of_threads;  // kThreadBytes each

  float* thread_sums(int thread) const {
    return reinterpret_cast<float*>(of_threads + thread * kThreadBytes);
  }
  float* thread_panels(int thread) const {
    return reinterpret_cast<float*>(of_threads + thread * kThreadBytes + kSumsBytes);
  }
};

// How the packing of one operand of an area is cut into tasks: `lines` lines and `r` elements each.
struct PackTasks {
  int64_t lines, r, blocks, tasks;
};
PackTasks cut_packing(const Lines& from, int64_t width, int64_t lines, int64_t r) {
  const bool along_r = from.r_stride == 1;
  PackTasks cut = {};
  cut.lines = (along_r ? kPanelsAlongR : kLinesSideBySide / width) * width;
  cut.r = along_r ? r : kRowsSideBySide;
  cut.blocks = ceil_div(r, cut.r);
  cut.tasks = ceil_div(lines, cut.lines) * cut.blocks;
  return cut;
}

// Packs what an area and span need of A and B.
void pack_area(const Gemm& g, const Area& area, bool with_a, bool with_b) {
  const int64_t r = area.r1 - area.r0;
  const PackTasks a = cut_packing(g.a, kTileRows, with_a ? area.m1 - area.m0 : 0, r);
  const PackTasks b = cut_packing(g.b, kTileCols, with_b ? area.n1 - area.n0 : 0, r);
  const int64_t all = a.tasks + b.tasks;
  // A and B side by side: a thread goes along a run of tasks, here and where it multiplies, and so
  // finds most of what it needs in its own caches.
  const auto a_before = [&](int64_t task) { return task * a.tasks / all; };
  auto pack = [&](int64_t task, int) {
    const bool is_a = a_before(task + 1) > a_before(task);
    const PackTasks& cut = is_a ? a : b;
    task = is_a ? a_before(task) : task - a_before(task);
    const int64_t line = task / cut.blocks * cut.lines;
    const int64_t k0 = task % cut.blocks * cut.r, k1 = lesser(k0 + cut.r, r);
    if (is_a) {
      pack_lines<kTileRows>(g.a, g.plan.a_unit, area.m0 + line,
                            lesser(cut.lines, area.m1 - area.m0 - line), area.r0 + k0, k1 - k0,
                            {g.packed_a + line / kTileRows * g.plan.a_panel, g.plan.a_panel,
                             units_of(g.plan.a_unit, k0), true});
    } else {
      pack_lines<kTileCols>(g.b, g.plan.b_unit, area.n0 + line,
                            lesser(cut.lines, area.n1 - area.n0 - line), area.r0 + k0, k1 - k0,
                            {g.packed_b + line / kTileCols * g.plan.b_panel, g.plan.b_panel,
                             units_of(g.plan.b_unit, k0), false});
    }
  };
  if (all > 0) parallel_for(g.team, all, pack);
}

// One tile of C over a span of r.
struct TileTask {
  const Gemm& g;
  const Area& area;
  int64_t m0, m1, n0, n1;
  float* sums;  // of (m0, n0), rows stride apart
  int64_t stride;
  float* panels;  // for B packed on the fly

  const float* a_panel(int64_t row, int64_t r) const {
    const Unit unit = g.plan.a_unit;
    if (g.plan.a_is_packed) {
      return reinterpret_cast<const float*>(static_cast<const std::byte*>(g.args.a.data) +
                                            units_of(unit, r) * kUnitBytes);
    }
    const int64_t width = lesser(kTileRows, area.m1 - row);
    return g.packed_a + (row - area.m0) / kTileRows * g.plan.a_panel +
           width * units_of(unit, r - area.r0);
  }

  // B packed by pack_b or by the team.
  const float* b_panel(int64_t col, int64_t r) const {
    const Unit unit = g.plan.b_unit;
    if (g.plan.pack_b == PackB::kBefore) {
      return static_cast<const float*>(g.args.packed_b) + col * units_of(unit, g.args.r) +
             kTileCols * units_of(unit, r);
    }
    return g.packed_b + (col - area.n0) / kTileCols * g.plan.b_panel +
           kTileCols * units_of(unit, r - area.r0);
  }

  void multiply(int64_t row, int64_t col, int64_t r, const float* b) const {
    const int64_t rows = lesser(kTileRows, m1 - row);
    const int vecs = n1 - col > kLanes ? kTileVecs : 1;
    // What is added to was last used long ago; elsewhere that would cost more than it saves.
    if (g.args.accumulate && r + kGemmBlock >= g.args.r) {
      fetch_to_finish(g.args, row, rows, col, lesser(kTileCols, n1 - col));
    }
    pick_tile(g.plan.inner, rows, vecs)(lesser(kGemmBlock, area.r1 - r), a_panel(row, r), b,
                                        sums + (row - m0) * stride + (col - n0), stride, r > 0);
  }

  // All rows of the tile by one panel of B.
  void multiply_rows(int64_t col, int64_t r, const float* b) const {
    for (int64_t row = m0; row < m1; row += kTileRows) multiply(row, col, r, b);
  }

  void run_on_the_fly() const {
    constexpr int64_t kCols = kPanelsOnTheFly * kTileCols;
    for (int64_t col = n0; col < n1; col += kCols) {
      const int64_t end = lesser(col + kCols, n1);
      for (int64_t r = area.r0; r < area.r1; r += kGemmBlock) {
        const int64_t r_count = lesser(kGemmBlock, area.r1 - r);
        const int64_t units = units_of(g.plan.b_unit, r_count);
        pack_lines<kTileCols>(g.b, g.plan.b_unit, col, end - col, r, r_count,
                              {panels, kTileCols * units, 0, false});
        for (int64_t i = col; i < end; i += kTileCols) {
          multiply_rows(i, r, panels + (i - col) * units);
        }
      }
    }
  }

  // Few rows: panels of B from end to end, several at once.
  void run_streams() const {
    const int64_t most = streams_of(lesser(m1 - m0, kStreamRows));
    int64_t streams = 0;
    for (int64_t col = n0; col < n1; col += streams * kTileCols) {
      const int64_t left = ceil_div(n1 - col, kTileCols);
      streams = left >= most ? most : left >= 2 && most >= 2 ? 2 : 1;
      for (int64_t r = area.r0; r < area.r1; r += kGemmBlock) {
        for (int64_t row = m0; row < m1; row += kTileRows) {
          stream_rows(row, col, r, static_cast<int>(streams));
        }
      }
    }
  }

  // The rows of a panel of A, in equal groups, by panels of B.
  void stream_rows(int64_t row, int64_t col, int64_t r, int streams) const {
    const int64_t width = lesser(kTileRows, m1 - row);
    const int64_t group = ceil_div(width, ceil_div(width, kStreamRows));
    const float* a = a_panel(row, r);
    for (int64_t i = 0; i < width; i += group) {
      const int64_t rows = lesser(group, width - i);
      pick_stream_tile(g.plan.inner, rows, streams)(
          lesser(kGemmBlock, area.r1 - r), a + i, width, b_panel(col, r),
          b_panel(col + kTileCols, r) - b_panel(col, r),
          sums + (row - m0 + i) * stride + (col - n0), stride, r > 0);
    }
  }

  void run() const {
    if (g.plan.pack_b == PackB::kOnTheFly) return run_on_the_fly();
    if (m1 - m0 <= kMaxRowsOnTheFly) return run_streams();
    for (int64_t r = area.r0; r < area.r1; r += kGemmBlock) {
      if (kTileVecs > 1) {  // a panel of A in L1, those of B from L2
        for (int64_t row = m0; row < m1; row += kTileRows) {
          for (int64_t col = n0; col < n1; col += kTileCols) {
            multiply(row, col, r, b_panel(col, r));
          }
        }
      } else {  // a panel of B in L1, those of A from L2
        for (int64_t col = n0; col < n1; col += kTileCols) multiply_rows(col, r, b_panel(col, r));
      }
    }
  }
};

void multiply_area(const Gemm& g, const Area& area) {
  const GemmPlan& plan = g.plan;
  const int64_t tiles_m = ceil_div(area.m1 - area.m0, plan.tile_m);
  const int64_t tiles_n = ceil_div(area.n1 - area.n0, plan.tile_n);
  // Threads share the smaller operand, and have a part of the larger one each.
  const bool by_rows = plan.pack_b == PackB::kShared && plan.a_bytes > plan.b_bytes;
  auto run = [&](int64_t task, int thread) {
    TileTask t = {g, area, 0, 0, 0, 0, nullptr, 0, g.thread_panels(thread)};
    t.m0 = area.m0 + (by_rows ? task / tiles_n : task % tiles_m) * plan.tile_m;
    t.m1 = lesser(t.m0 + plan.tile_m, area.m1);
    t.n0 = area.n0 + (by_rows ? task % tiles_n : task / tiles_m) * plan.tile_n;
    t.n1 = lesser(t.n0 + plan.tile_n, area.n1);
    const bool whole_panels = (t.n1 - t.n0) % kTileCols == 0;
    const bool in_c = plan.sums_in_c && plan.area_bytes == 0 && whole_panels;
    if (in_c) {
      t.stride = g.args.c_stride;
      t.sums = static_cast<float*>(g.args.c) + t.m0 * t.stride + t.n0;
    } else if (plan.area_bytes > 0) {
      t.stride = plan.area_n;
      t.sums = g.area_sums + (t.m0 - area.m0) * t.stride + (t.n0 - area.n0);
    } else {
      t.stride = plan.tile_n;
      t.sums = g.thread_sums(thread);
    }
    t.run();
    if (!in_c && area.r1 == g.args.r) {
      finish_tile(g.args, t.sums, t.stride, t.m0, t.m1 - t.m0, t.n0, t.n1 - t.n0);
    }
  };
  parallel_for(g.team, tiles_m * tiles_n, run);
}

void multiply_nothing(const GemmArgs& args) {
  const float zeros[kLanes] = {};
  for (int64_t j = 0; j < args.n; j += kLanes) {
    finish_tile(args, zeros, 0, 0, args.m, j, lesser(kLanes, args.n - j));
  }
}

bool has_quantised_b(const GemmArgs& args) {
  return args.b_is_packed && is_block(args.packed_dtype);
}

int64_t gemm_scratch(const GemmArgs& args, int threads) {
  return has_quantised_b(args) ? base::quant_gemm_scratch(&args, 1) : scratch_bound(args, threads);
}

void gemm(const GemmArgs& args, const Team& team) {
  if (args.m == 0 || args.n == 0) return;
  if (args.r == 0) return multiply_nothing(args);
  if (has_quantised_b(args)) return base::quant_gemm(&args, 1, team);
  const GemmPlan plan = plan_gemm(args, team.threads);
  std::byte* scratch = team.scratch;
  const auto take = [&](int64_t bytes) {
    std::byte* taken = scratch;
    scratch += bytes;
    return reinterpret_cast<float*>(taken);
  };
  float* packed_a = take(plan.a_bytes);
  float* packed_b = take(plan.b_bytes);
  float* area_sums = take(plan.area_bytes);
  const Gemm g = {args,
                  plan,
                  team,
                  {args.a.data, args.a.dtype, args.a.row_stride, args.a.col_stride},
                  {args.b.data, args.b.dtype, args.b.col_stride, args.b.row_stride},
                  packed_a,
                  packed_b,
                  area_sums,
                  scratch};
  for_each_area(args, plan, [&](const Area& area, bool a_stays, bool b_stays) {
    pack_area(g, area, !plan.a_is_packed && !a_stays, plan.pack_b == PackB::kShared && !b_stays);
    multiply_area(g, area);
  });
}

int64_t gemm_group_scratch(const GemmArgs* products, int count, int) {
  return base::quant_gemm_scratch(products, count);
}

void gemm_group(const GemmArgs* products, int count, const Team& team) {
  if (products->m > 0) base::quant_gemm(products, count, team);
}

int64_t packed_columns(DType dtype) { return is_block(dtype) ? kLanes : kTileCols; }

Unit packed_unit(DType dtype) {
  return dtype == DType::kBF16 ? Unit::kPair : dtype == DType::kF16 ? Unit::kHalves : Unit::kF32;
}

int64_t packed_b_bytes(DType dtype, int64_t r, int64_t n) {
  if (is_block(dtype)) return base::quant_packed_bytes(dtype, r, n);
  return round_up(n, kTileCols) * units_of(packed_unit(dtype), r) * 4;
}

void pack_b(const MatrixView& b, int64_t r, int64_t n, int64_t n_begin, int64_t n_end,
            DType packed_dtype, void* packed) {
  if (is_block(packed_dtype)) return base::quant_pack(b, r, n, n_begin, n_end, packed);
  const Unit unit = packed_unit(packed_dtype);
  const Lines lines = {b.data, b.dtype, b.col_stride, b.row_stride};
  n_end = lesser(n_end, n);
  float* panels = static_cast<float*>(packed) + n_begin * units_of(unit, r);
  if (unit != Unit::kHalves) {
    return pack_lines<kTileCols>(lines, unit, n_begin, n_end - n_begin, 0, r,
                                 {panels, kTileCols * units_of(unit, r), 0, false});
  }
  for (int64_t i = n_begin; i < n_end; i += kTileCols, panels += kTileCols * units_of(unit, r)) {
    pack_halves<kTileCols>(lines, i, lesser(kTileCols, n_end - i), r,
                           reinterpret_cast<f16*>(panels));
  }
}

}  // namespace

void fill_gemm(KernelTable& table) {
  table.packed_b_bytes = packed_b_bytes;
  table.pack_b = pack_b;
  table.packed_columns = packed_columns;
  table.gemm_scratch = gemm_scratch;
  table.gemm = gemm;
  table.gemm_group_scratch = gemm_group_scratch;
  table.gemm_group = gemm_group;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
