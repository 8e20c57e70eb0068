// gemm on Intel AMX, for operands of f32 and bf16 and, in quant_gemm.kernel.cc, weights in blocks;
// others go to the tier below. plan.h says how the work is cut, planes.h how operands are packed,
// tile.h holds the arithmetic.
#include "ashlar/kernels/amx/plan.h"
#include "ashlar/kernels/amx/quant_gemm.h"
#include "ashlar/kernels/gemm_areas.h"
#include "ashlar/kernels/gemm_epilogue.h"
#include "ashlar/kernels/parallel.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

namespace {

int64_t (*other_scratch)(const GemmArgs& args, int threads);
void (*other_gemm)(const GemmArgs& args, const Team& team);

int64_t steps_of(const Area& area) { return ceil_div(area.r1 - area.r0, kAmxStep); }

struct Product {
  const GemmArgs& args;
  const AmxPlan& plan;
  const Team& team;
  Lines a, b;  // b: where it is not packed as it is
  std::byte *packed_a, *packed_b, *of_threads;
  float* area_sums;
};

void pack_area(const Product& g, const Area& area, bool with_a, bool with_b) {
  const int64_t groups = with_a ? ceil_div(area.m1 - area.m0, kAmxSquare) : 0;
  const int64_t panels = with_b ? ceil_div(area.n1 - area.n0, kAmxSquare) : 0;
  const int64_t blocks = ceil_div(steps_of(area), g.plan.block);
  const auto pack = [&](int64_t task, int) {
    const int64_t block = task % blocks, i = task / blocks;
    const int64_t r0 = area.r0 + block * g.plan.block * kAmxStep;
    const int64_t r1 = lesser(r0 + g.plan.block * kAmxStep, area.r1);
    if (i < groups) {
      std::byte* to = g.packed_a + (i * steps_of(area) + block * g.plan.block) * g.plan.a_planes *
                                       g.plan.a_plane;
      pack_planes<true>(g.a, area.m0 + i * kAmxSquare, area.m1, r0, r1, g.plan.a_rows,
                        g.args.m > kAmxRows, to);
    } else {
      const int64_t panel = i - groups, n = area.n0 + panel * kAmxSquare;
      std::byte* to =
          g.packed_b + (panel * steps_of(area) + block * g.plan.block) * g.plan.b_planes * kAmxPair;
      pack_planes<false>(g.b, n, area.n1, r0, r1, kAmxRows, true, to);
    }
  };
  if (groups + panels > 0) parallel_for(g.team, (groups + panels) * blocks, pack);
}

// Rows [m0, m1) and columns [n0, n1) of C over a span of r; sums of (m0, n0), rows stride apart.
struct TileTask {
  const Product& g;
  const Area& area;
  int64_t m0, m1, n0, n1;
  float* sums;
  int64_t stride;
  std::byte* block_of_b;  // of this thread

  // The 32 rows from m by the columns from n, over steps [s, s + steps).
  void multiply(int64_t m, int64_t n, int64_t s, int64_t steps, const std::byte* b, bool first,
                AmxAhead ahead) const {
    const AmxPlan& plan = g.plan;
    const AmxSquare square = m1 - m > kAmxRows
                                 ? pick_amx_square<true>(plan.a_planes, plan.b_planes)
                                 : pick_amx_square<false>(plan.a_planes, plan.b_planes);
    square(steps, a_at(m, s), plan.a_plane, b, sums + (m - m0) * stride + (n - n0), stride, !first,
           ahead);
  }
  const std::byte* a_at(int64_t m, int64_t s) const {
    const int64_t group = (m - area.m0) / kAmxSquare;
    return g.packed_a + (group * steps_of(area) + s) * g.plan.a_planes * g.plan.a_plane;
  }

  // B as pack_b wrote it: pairs of r, side by side for 32 columns. The last step may end early.
  void multiply_as_is(int64_t m, int64_t n, int64_t s, int64_t steps, bool first,
                      AmxAhead ahead) const {
    const int64_t units = (g.args.r + 1) / 2, r = area.r0 + s * kAmxStep;
    const std::byte* b =
        static_cast<const std::byte*>(g.args.packed_b) + (n * units + r / 2 * kAmxSquare) * 4;
    const int64_t whole = lesser(steps, (units - r / 2) / kAmxRows);
    if (g.plan.few_rows) ahead = {b + kAmxAhead, kAmxPair};
    if (whole > 0) multiply(m, n, s, whole, b, first, ahead);
    if (whole == steps) return;
    const int64_t left = (units - r / 2 - whole * kAmxRows) * kAmxSquare;
    float* rest = reinterpret_cast<float*>(block_of_b);
    const float* from = reinterpret_cast<const float*>(b + whole * kAmxPair);
    for (int64_t i = 0; i < kAmxPair / 4; i += kLanes) {
      store(rest + i, i < left ? load(from + i) : zero());
    }
    multiply(m, n, s + whole, 1, block_of_b, first && whole == 0, {});
  }

  // While 32 rows are multiplied, those that follow are fetched.
  AmxAhead ahead_of(int64_t m, int64_t n, int64_t s, int64_t steps) const {
    if (m + kAmxSquare >= m1) return {};
    const int64_t step = g.plan.a_planes * g.plan.a_plane;
    const int64_t each = round_up(ceil_div(step, ceil_div(n1 - n0, kAmxSquare)), 64);
    const int64_t done = (n - n0) / kAmxSquare * each * steps;
    if (done + each * steps > step * steps) return {};
    return {a_at(m + kAmxSquare, s) + done, each};
  }

  void run() const {
    const int64_t steps = steps_of(area), planes = g.plan.b_planes;
    for (int64_t s = 0; s < steps; s += g.plan.block) {
      const int64_t count = lesser(g.plan.block, steps - s);
      const bool first = s == 0 && area.r0 == 0;
      for (int64_t m = m0; m < m1; m += kAmxSquare) {
        for (int64_t n = n0; n < n1; n += kAmxSquare) {
          const AmxAhead ahead = ahead_of(m, n, s, count);
          if (g.plan.b_as_is) {
            multiply_as_is(m, n, s, count, first, ahead);
          } else if (g.plan.few_rows) {  // all in one group
            const int64_t r = area.r0 + s * kAmxStep;
            pack_planes<false>(g.b, n, n1, r, lesser(r + count * kAmxStep, area.r1), kAmxRows, true,
                               block_of_b);
            multiply(m, n, s, count, block_of_b, first, {});
          } else {
            const int64_t panel = (n - area.n0) / kAmxSquare;
            multiply(m, n, s, count, g.packed_b + (panel * steps + s) * planes * kAmxPair, first,
                     ahead);
          }
        }
      }
    }
  }
};

void multiply_area(const Product& g, const Area& area) {
  const AmxPlan& plan = g.plan;
  const int64_t tiles_m = ceil_div(area.m1 - area.m0, plan.tile_m);
  const int64_t tiles_n = ceil_div(area.n1 - area.n0, plan.tile_n);
  parallel_for(g.team, tiles_m * tiles_n, [&](int64_t task, int thread) {
    std::byte* own = g.of_threads + thread * kAmxThreadBytes;
    TileTask t = {
        g, area, 0, 0, 0, 0, reinterpret_cast<float*>(own), plan.tile_n, own + kAmxSumsBytes};
    t.m0 = area.m0 + task % tiles_m * plan.tile_m;
    t.m1 = lesser(t.m0 + plan.tile_m, area.m1);
    t.n0 = area.n0 + task / tiles_m * plan.tile_n;
    t.n1 = lesser(t.n0 + plan.tile_n, area.n1);
    if (plan.area_bytes > 0) {
      t.stride = plan.area_n;
      t.sums = g.area_sums + (t.m0 - area.m0) * t.stride + (t.n0 - area.n0);
    }
    amx_configure(plan.a_rows);
    t.run();
    amx_release();
    if (area.r1 == g.args.r) {
      finish_tile(g.args, t.sums, t.stride, t.m0, t.m1 - t.m0, t.n0, t.n1 - t.n0);
    }
  });
}

bool is_ours(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16; }
// Packed weights of f32 are not: one row would wait for their planes longer than for memory.
bool is_ours(const GemmArgs& args) {
  if (args.packed_b != nullptr) return is_ours(args.a.dtype) && args.packed_dtype == DType::kBF16;
  return is_ours(args.a.dtype) && is_ours(args.b.dtype);
}

bool is_quantised(const GemmArgs& args) {
  return args.packed_b != nullptr && multiplies(args.packed_dtype) && args.m >= kAmxQuantLeastRows;
}

int64_t gemm_scratch(const GemmArgs& args, int threads) {
  // A later call may have fewer rows.
  if (is_quantised(args))
    return greater_of(amx_quant_scratch(args, threads), other_scratch(args, threads));
  return is_ours(args) ? amx_scratch_bound(args, threads) : other_scratch(args, threads);
}

void gemm(const GemmArgs& args, const Team& team) {
  if (is_quantised(args)) return amx_quant_gemm(args, team);
  if (!is_ours(args) || args.m == 0 || args.n == 0 || args.r == 0) return other_gemm(args, team);
  const AmxPlan plan = plan_amx(args, team.threads);
  std::byte* scratch = team.scratch;
  const auto take = [&](int64_t bytes) {
    std::byte* taken = scratch;
    scratch += bytes;
    return taken;
  };
  std::byte* packed_a = take(plan.a_bytes);
  std::byte* packed_b = take(plan.b_bytes);
  float* area_sums = reinterpret_cast<float*>(take(plan.area_bytes));
  const Product g = {args,
                     plan,
                     team,
                     {args.a.data, args.a.dtype, args.a.row_stride, args.a.col_stride},
                     {args.b.data, args.b.dtype, args.b.col_stride, args.b.row_stride},
                     packed_a,
                     packed_b,
                     scratch,
                     area_sums};
  for_each_area(args, plan, [&](const Area& area, bool a_stays, bool b_stays) {
    pack_area(g, area, !a_stays, plan.b_bytes > 0 && !b_stays);
    multiply_area(g, area);
  });
}

}  // namespace

void fill_gemm(KernelTable& table) {
  other_scratch = table.gemm_scratch;
  other_gemm = table.gemm;
  table.gemm_scratch = gemm_scratch;
  table.gemm = gemm;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
