// Quantised weights, many rows: rows are rounded to bytes once, then each task takes a band of rows
// and some panels. It unpacks a piece of two panels and lets the whole band go by.
#include "ashlar/kernels/amx/quant_gemm.h"

#include "ashlar/kernels/amx/quant_square.h"
#include "ashlar/kernels/gemm_epilogue.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

namespace {

constexpr int64_t kBandRows = 256;  // at most: their codes stay in the L2 cache
constexpr int64_t kTaskPairs = 4;   // pairs of panels
constexpr int64_t kTasksEach = 4;

struct QuantBands {
  int64_t blocks, groups, pairs;  // of r, of 16 rows, of two panels
  int64_t band_groups, bands, task_pairs, columns;
};

QuantBands plan_bands(const GemmArgs& args, int threads) {
  QuantBands p = {};
  p.blocks = args.r / kQuantBlock;
  p.groups = ceil_div(args.m, kAmxRows);
  p.pairs = ceil_div(args.n, kAmxSquare);
  p.bands = ceil_div(args.m, kBandRows);
  p.band_groups = ceil_div(p.groups, p.bands);
  p.bands = ceil_div(p.groups, p.band_groups);
  p.task_pairs = kTaskPairs;
  while (p.task_pairs > 1 && p.bands * ceil_div(p.pairs, p.task_pairs) < kTasksEach * threads)
    p.task_pairs /= 2;
  p.columns = ceil_div(p.pairs, p.task_pairs);
  return p;
}

// Each thread's.
struct Own {
  AmxQuantPanels panels;
  alignas(64) float chains[kBandRows / kAmxRows * kAmxStrip];
};

struct QuantProduct {
  const GemmArgs& args;
  const QuantBands& plan;
  AmxQuantRows rows;
  Own* own;

  // Of blocks from `begin` (a multiple of kAmxQuantBlocks) on; those that are unpacked together lie
  // in the order in which they are multiplied.
  AmxQuantRows rows_of(int64_t group, int64_t begin) const {
    const int64_t together = lesser(kAmxQuantBlocks, plan.blocks - begin);
    return rows.from_block(begin * plan.groups + group * together);
  }
};

template <typename F, typename T>
void round_group(const QuantProduct& g, int64_t group) {
  const int64_t first = group * kAmxRows;
  for (int64_t i = 0; i < kAmxRows; ++i) {
    const T* x = static_cast<const T*>(g.args.a.data) + (first + i) * g.args.a.row_stride;
    const bool known = first + i < g.args.m;
    for (int64_t b = 0; b < g.plan.blocks; ++b) {
      QuantRow row = {};
      if (known) quantise_block<F>(x + b * kQuantBlock, row);
      const int64_t begin = b / kAmxQuantBlocks * kAmxQuantBlocks;
      amx_put_row<F>(row, i, g.rows_of(group, begin).from_block(b - begin));
    }
  }
}

template <typename F>
void round_group(const QuantProduct& g, int64_t group) {
  if (g.args.a.dtype == DType::kF32) {
    round_group<F, float>(g, group);
  } else if (g.args.a.dtype == DType::kF16) {
    round_group<F, f16>(g, group);
  } else {
    round_group<F, bf16>(g, group);
  }
}

// Two panels by a band of rows.
template <typename F>
void multiply_pair(const QuantProduct& g, int64_t pair, int64_t first_group, int64_t last_group,
                   Own& own) {
  const int64_t stride = g.args.r / F::kElements * F::kPanelBytes, n0 = pair * kAmxSquare;
  const int64_t columns = lesser(kAmxSquare, g.args.n - n0);
  const std::byte* left = static_cast<const std::byte*>(g.args.packed_b) + 2 * pair * stride;
  const int64_t groups = last_group - first_group;
  std::memset(own.chains, 0, static_cast<size_t>(groups * kAmxStrip * 4));
  AmxQuantChains<F> all;
  for (int64_t begin = 0; begin < g.plan.blocks; begin += kAmxQuantBlocks) {
    const int64_t end = lesser(g.plan.blocks, begin + kAmxQuantBlocks);
    amx_unpack<F>(left, begin, end, 0, own.panels);
    amx_unpack<F>(columns > kAmxRows ? left + stride : nullptr, begin, end, 1, own.panels);
    const int64_t steps = (end - begin) * F::kSubBlocks;
    for (int64_t i = 0; i < groups; ++i) {
      const AmxQuantRows rows = g.rows_of(first_group + i, begin);
      for (int64_t step = 0; step < steps; step += kAmxQuantKept) {
        const int64_t count = lesser(kAmxQuantKept, steps - step);
        all.add(own.panels, rows, step, count, own.chains + i * kAmxStrip);
      }
    }
    all.join();
  }
  const int64_t m0 = first_group * kAmxRows, m1 = lesser(g.args.m, last_group * kAmxRows);
  finish_tile(g.args, own.chains, kAmxSquare, m0, m1 - m0, n0, columns);
}

template <typename F>
void multiply(const QuantProduct& g, const Team& team) {
  const QuantBands& p = g.plan;
  parallel_for(team, p.groups, [&](int64_t group, int) { round_group<F>(g, group); });
  parallel_for(team, p.bands * p.columns, [&](int64_t task, int thread) {
    const int64_t band = task / p.columns, column = task % p.columns;
    const int64_t first = band * p.band_groups, last = lesser(p.groups, first + p.band_groups);
    amx_configure_quant<F>();
    for (int64_t pair = column * p.task_pairs; pair < lesser(p.pairs, (column + 1) * p.task_pairs);
         ++pair) {
      multiply_pair<F>(g, pair, first, last, g.own[thread]);
    }
    amx_release();
  });
}

}  // namespace

int64_t amx_quant_scratch(const GemmArgs& args, int threads) {
  const int64_t blocks = ceil_div(args.m, kAmxRows) * (args.r / kQuantBlock);
  return blocks * (AmxQuantRows::kBlockBytes + 2 * kAmxRows * 4) +
         threads * static_cast<int64_t>(sizeof(Own));
}

void amx_quant_gemm(const GemmArgs& args, const Team& team) {
  const QuantBands plan = plan_bands(args, team.threads);
  const int64_t blocks = plan.groups * plan.blocks;
  auto* codes =
      reinterpret_cast<int8_t*>(team.scratch + team.threads * static_cast<int64_t>(sizeof(Own)));
  float* scales = reinterpret_cast<float*>(codes + blocks * AmxQuantRows::kBlockBytes);
  const QuantProduct g = {args,
                          plan,
                          {codes, scales, scales + blocks * kAmxRows},
                          reinterpret_cast<Own*>(team.scratch)};
  with_format(args.packed_dtype, [&]<typename F>(F) { multiply<F>(g, team); });
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
