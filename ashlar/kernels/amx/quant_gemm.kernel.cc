// Quantised weights, many rows: rows are rounded to bytes once, then each task takes a band of rows
// and some panels. It unpacks a piece of two panels and lets the whole band go by.
#include "ashlar/kernels/amx/quant_gemm.h"

#include "ashlar/kernels/amx/quant_square.h"
#include "ashlar/kernels/gemm_epilogue.h"
#include "ashlar/kernels/quant_bands.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

namespace {

constexpr int64_t kBandRows = 256;  // at most: their codes stay in the L2 cache
constexpr int64_t kTaskPairs = 4;   // pairs of panels
constexpr int64_t kTasksEach = 4;

// Each thread's.
struct Own {
  AmxQuantPanels panels;
  alignas(64) float chains[kBandRows / kAmxRows * kAmxStrip];
};

struct QuantProduct {
  const GemmArgs& args;
  const QuantBands& bands;  // of groups of 16 rows, and of pairs of panels
  int64_t blocks;
  AmxQuantRows rows;
  Own* own;

  // Of blocks from `begin` (a multiple of kAmxQuantBlocks) on; those that are unpacked together lie
  // in the order in which they are multiplied.
  AmxQuantRows rows_of(int64_t group, int64_t begin) const {
    const int64_t together = lesser(kAmxQuantBlocks, blocks - begin);
    return rows.from_block(begin * bands.tiles + group * together);
  }
};

template <typename F>
void round_group(const QuantProduct& g, int64_t group) {
  const int64_t first = group * kAmxRows;
  with_elements(g.args.a, [&](const auto* a) {
    for (int64_t i = 0; i < kAmxRows; ++i) {
      const auto* x = a + (first + i) * g.args.a.row_stride;
      const bool known = first + i < g.args.m;
      for (int64_t b = 0; b < g.blocks; ++b) {
        QuantRow row = {};
        if (known) quantise_block<F>(x + b * kQuantBlock, row);
        const int64_t begin = b / kAmxQuantBlocks * kAmxQuantBlocks;
        amx_put_row<F>(row, i, g.rows_of(group, begin).from_block(b - begin));
      }
    }
  });
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
  for (int64_t begin = 0; begin < g.blocks; begin += kAmxQuantBlocks) {
    const int64_t end = lesser(g.blocks, begin + kAmxQuantBlocks);
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
  const QuantBands& p = g.bands;
  parallel_for(team, p.tiles, [&](int64_t group, int) { round_group<F>(g, group); });
  parallel_for(team, p.bands * p.columns, [&](int64_t task, int thread) {
    const int64_t band = task / p.columns, column = task % p.columns;
    const int64_t first = band * p.band_tiles, last = lesser(p.tiles, first + p.band_tiles);
    const int64_t last_pair = lesser(p.panels, (column + 1) * p.task_panels);
    amx_configure(kAmxRows, kAmxSubBlock<F>);
    for (int64_t pair = column * p.task_panels; pair < last_pair; ++pair) {
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
  const QuantBands bands =
      cut_bands(ceil_div(args.m, kAmxRows), kBandRows / kAmxRows, ceil_div(args.n, kAmxSquare),
                kTaskPairs, 1, kTasksEach * team.threads);
  const int64_t blocks = bands.tiles * (args.r / kQuantBlock);
  auto* codes =
      reinterpret_cast<int8_t*>(team.scratch + team.threads * static_cast<int64_t>(sizeof(Own)));
  float* scales = reinterpret_cast<float*>(codes + blocks * AmxQuantRows::kBlockBytes);
  const QuantProduct g = {args,
                          bands,
                          args.r / kQuantBlock,
                          {codes, scales, scales + blocks * kAmxRows},
                          reinterpret_cast<Own*>(team.scratch)};
  with_format(args.packed_dtype, [&]<typename F>(F) { multiply<F>(g, team); });
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
