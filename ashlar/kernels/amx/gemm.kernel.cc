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
int64_t (*other_group_scratch)(const GemmArgs* products, int count, int threads);
void (*other_group)(const GemmArgs* products, int count, const Team& team);

int64_t steps_of(const Area& area) { return ceil_div(area.r1 - area.r0, kAmxStep); }

struct Product {
  const GemmArgs& args;
  const AmxPlan& plan;
  const Team& team;
  Lines a, b;             // b: where it is not packed as it is
  std::byte* shared;      // the packed operand of all
  float* area_sums;       // where r takes several spans
  std::byte* of_threads;  // a block of a strip, then the strip's sums
  int64_t block_bytes, sums_bytes;

  int64_t a_step() const { return plan.a_planes * plan.a_plane; }
  int64_t b_step() const { return plan.b_planes * kAmxPair; }

  // Steps of r in [r0, r1) of the 32 lines from m of A, or n of B.
  void pack_a(int64_t m, int64_t end, int64_t r0, int64_t r1, std::byte* to) const {
    pack_planes<true>(a, m, end, r0, r1, plan.a_rows, args.m > kAmxRows, to);
  }
  void pack_b(int64_t n, int64_t end, int64_t r0, int64_t r1, std::byte* to) const {
    pack_planes<false>(b, n, end, r0, r1, kAmxRows, true, to);
  }
};

void pack_shared(const Product& g, const Area& area) {
  const int64_t lines = g.plan.shares_a ? area.m1 - area.m0 : area.n1 - area.n0;
  const int64_t steps = steps_of(area), blocks = ceil_div(steps, g.plan.block);
  parallel_for(g.team, ceil_div(lines, kAmxSquare) * blocks, [&](int64_t task, int) {
    const int64_t s = task % blocks * g.plan.block, unit = task / blocks;
    const int64_t r0 = area.r0 + s * kAmxStep;
    const int64_t r1 = lesser(r0 + g.plan.block * kAmxStep, area.r1);
    if (g.plan.shares_a) {
      g.pack_a(area.m0 + unit * kAmxSquare, area.m1, r0, r1,
               g.shared + (unit * steps + s) * g.a_step());
    } else {
      g.pack_b(area.n0 + unit * kAmxSquare, area.n1, r0, r1,
               g.shared + (unit * steps + s) * g.b_step());
    }
  });
}

// A strip of an area: rows [m0, m1) and columns [n0, n1) of C over a span of r.
struct Strip {
  const Product& g;
  const Area& area;
  int64_t m0, m1, n0, n1;
  float* sums;  // of (m0, n0), rows stride apart
  int64_t stride;
  std::byte* own;  // a block of the strip; B as it is: a step of it

  // The 32 rows from m by the columns from n, over `steps` steps from a and b on.
  void multiply(int64_t m, int64_t n, int64_t steps, const std::byte* a, const std::byte* b,
                bool first, AmxAhead ahead) const {
    const AmxPlan& plan = g.plan;
    const AmxSquare square = m1 - m > kAmxRows
                                 ? pick_amx_square<true>(plan.a_planes, plan.b_planes)
                                 : pick_amx_square<false>(plan.a_planes, plan.b_planes);
    square(steps, a, plan.a_plane, b, sums + (m - m0) * stride + (n - n0), stride, !first, ahead);
  }

  // B as pack_b wrote it: pairs of r, side by side for 32 columns. The last step may end early.
  void multiply_as_is(int64_t m, int64_t n, int64_t s, int64_t steps, const std::byte* a,
                      bool first, AmxAhead ahead) const {
    const int64_t units = (g.args.r + 1) / 2, r = area.r0 + s * kAmxStep;
    const std::byte* b =
        static_cast<const std::byte*>(g.args.packed_b) + (n * units + r / 2 * kAmxSquare) * 4;
    const int64_t whole = lesser(steps, (units - r / 2) / kAmxRows);
    if (g.plan.few_rows) ahead = {b + kAmxAhead, kAmxPair};
    if (whole > 0) multiply(m, n, whole, a, b, first, ahead);
    if (whole == steps) return;
    const int64_t left = (units - r / 2 - whole * kAmxRows) * kAmxSquare;
    float* rest = reinterpret_cast<float*>(own);
    const float* from = reinterpret_cast<const float*>(b + whole * kAmxPair);
    for (int64_t i = 0; i < kAmxPair / 4; i += kLanes) {
      store(rest + i, i < left ? load(from + i) : zero());
    }
    multiply(m, n, 1, a + whole * g.a_step(), own, first && whole == 0, {});
  }

  void pack(int64_t s, int64_t steps) const {
    const int64_t r0 = area.r0 + s * kAmxStep, r1 = lesser(r0 + steps * kAmxStep, area.r1);
    if (g.plan.shares_a) {
      for (int64_t n = n0; n < n1; n += kAmxSquare) g.pack_b(n, n1, r0, r1, own_unit(n - n0));
    } else {
      for (int64_t m = m0; m < m1; m += kAmxSquare) g.pack_a(m, m1, r0, r1, own_unit(m - m0));
    }
  }
  std::byte* own_unit(int64_t line) const {
    const int64_t step = g.plan.shares_a ? g.b_step() : g.a_step();
    return own + line / kAmxSquare * g.plan.block * step;
  }
  const std::byte* shared_unit(int64_t line, int64_t s) const {
    const int64_t step = g.plan.shares_a ? g.a_step() : g.b_step();
    return g.shared + (line / kAmxSquare * steps_of(area) + s) * step;
  }

  // While the strip's unit i of n is multiplied by 32 shared lines, its part of those that follow
  // is fetched.
  AmxAhead ahead_of(const std::byte* next, int64_t i, int64_t n, int64_t steps) const {
    const int64_t step = g.plan.shares_a ? g.a_step() : g.b_step();
    const int64_t each = round_up(ceil_div(step, n), 64);
    return i * each < step ? AmxAhead{next + i * each * steps, each} : AmxAhead{};
  }

  // The block of `steps` steps from s on.
  void multiply_block(int64_t s, int64_t steps) const {
    const bool first = s == 0 && area.r0 == 0;
    const int64_t shared_lines = g.plan.shares_a ? m1 - m0 : n1 - n0;
    const int64_t own_lines = g.plan.shares_a ? n1 - n0 : m1 - m0;
    const int64_t units = ceil_div(own_lines, kAmxSquare);
    for (int64_t i = 0; i < shared_lines; i += kAmxSquare) {
      const std::byte* shared = shared_unit(i, s);
      const std::byte* next = shared_unit(i + kAmxSquare, s);
      const bool last = i + kAmxSquare >= shared_lines;
      for (int64_t j = 0; j < own_lines; j += kAmxSquare) {
        const AmxAhead ahead = last ? AmxAhead{} : ahead_of(next, j / kAmxSquare, units, steps);
        if (g.plan.b_as_is) {
          multiply_as_is(m0 + i, n0 + j, s, steps, shared, first, ahead);
        } else if (g.plan.shares_a) {
          multiply(m0 + i, n0 + j, steps, shared, own_unit(j), first, ahead);
        } else {
          multiply(m0 + j, n0 + i, steps, own_unit(j), shared, first, ahead);
        }
      }
    }
  }

  void run() const {
    for (int64_t s = 0; s < steps_of(area); s += g.plan.block) {
      const int64_t steps = lesser(g.plan.block, steps_of(area) - s);
      if (!g.plan.b_as_is) pack(s, steps);
      multiply_block(s, steps);
    }
  }
};

void multiply_area(const Product& g, const Area& area) {
  const AmxPlan& plan = g.plan;
  const int64_t begin = plan.shares_a ? area.n0 : area.m0, end = plan.shares_a ? area.n1 : area.m1;
  const int64_t units = ceil_div(end - begin, kAmxSquare);
  const int64_t strips = amx_strips(plan, units, g.team.threads);
  parallel_for(g.team, strips, [&](int64_t i, int thread) {
    const int64_t first = begin + units * i / strips * kAmxSquare;
    const int64_t last = lesser(begin + units * (i + 1) / strips * kAmxSquare, end);
    std::byte* own = g.of_threads + thread * (g.block_bytes + g.sums_bytes);
    float* sums = reinterpret_cast<float*>(own + g.block_bytes);
    Strip strip = {g, area, area.m0, area.m1, area.n0, area.n1, sums, 0, own};
    (plan.shares_a ? strip.n0 : strip.m0) = first;
    (plan.shares_a ? strip.n1 : strip.m1) = last;
    strip.stride = round_up(strip.n1 - strip.n0, kAmxSquare);
    if (plan.area_bytes > 0) {
      strip.stride = plan.area_n;
      strip.sums = g.area_sums + (strip.m0 - area.m0) * strip.stride + (strip.n0 - area.n0);
    }
    amx_configure(plan.a_rows);
    strip.run();
    amx_release();
    if (area.r1 == g.args.r) {
      finish_tile(g.args, strip.sums, strip.stride, strip.m0, strip.m1 - strip.m0, strip.n0,
                  strip.n1 - strip.n0);
    }
  });
}

bool is_ours(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16; }
// Packed weights of f32 are not: one row would wait for their planes longer than for memory.
bool is_ours(const GemmArgs& args) {
  if (args.b_is_packed) return is_ours(args.a.dtype) && args.packed_dtype == DType::kBF16;
  return is_ours(args.a.dtype) && is_ours(args.b.dtype);
}

bool is_quantised(const GemmArgs& args) {
  return args.b_is_packed && multiplies(args.packed_dtype) && args.m >= kAmxQuantLeastRows;
}

int64_t gemm_scratch(const GemmArgs& args, int threads) {
  // A later call may have fewer rows.
  if (is_quantised(args))
    return greater_of(amx_quant_scratch(args, threads), other_scratch(args, threads));
  return is_ours(args) ? amx_scratch_bound(args, threads) : other_scratch(args, threads);
}

void gemm(const GemmArgs& args, const Team& team) {
  if (is_quantised(args)) return amx_quant_gemm(&args, 1, team);
  if (!is_ours(args) || args.m == 0 || args.n == 0 || args.r == 0) return other_gemm(args, team);
  const AmxPlan plan = plan_amx(args);
  std::byte* const area_sums = team.scratch + plan.shared_bytes;
  const Product g = {args,
                     plan,
                     team,
                     {args.a.data, args.a.dtype, args.a.row_stride, args.a.col_stride},
                     {args.b.data, args.b.dtype, args.b.col_stride, args.b.row_stride},
                     team.scratch,
                     reinterpret_cast<float*>(area_sums),
                     area_sums + plan.area_bytes,
                     amx_block_bytes(args),
                     amx_sums_bytes(args)};
  for_each_area(args, plan, [&](const Area& area, bool, bool) {
    pack_shared(g, area);
    multiply_area(g, area);
  });
}

int64_t gemm_group_scratch(const GemmArgs* products, int count, int threads) {
  int64_t bytes = other_group_scratch(products, count, threads);  // a later call has fewer rows
  for (int i = 0; i < count; ++i) {
    bytes = greater_of(bytes, amx_quant_scratch(products[i], threads));
  }
  return bytes;
}

void gemm_group(const GemmArgs* products, int count, const Team& team) {
  if (!is_quantised(*products)) return other_group(products, count, team);
  amx_quant_gemm(products, count, team);
}

}  // namespace

void fill_gemm(KernelTable& table) {
  other_group_scratch = table.gemm_group_scratch;
  other_group = table.gemm_group;
  table.gemm_group_scratch = gemm_group_scratch;
  table.gemm_group = gemm_group;
  other_scratch = table.gemm_scratch;
  other_gemm = table.gemm;
  table.gemm_scratch = gemm_scratch;
  table.gemm = gemm;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
