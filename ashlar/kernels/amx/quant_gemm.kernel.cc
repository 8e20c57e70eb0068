// Quantised weights, many rows: rows are rounded to bytes once, then each task takes a band of rows
// and some panels. It unpacks a super-block of two panels and lets the whole band go by.
#include "ashlar/kernels/amx/quant_gemm.h"

#include "ashlar/kernels/amx/quant_square.h"
#include "ashlar/kernels/gemm_epilogue.h"
#include "ashlar/kernels/quant_bands.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

namespace {

constexpr int64_t kBandRows = 512;  // at most: a super-block of them stays in the L2 cache
constexpr int64_t kTaskPairs = 4;   // pairs of panels
constexpr int64_t kTasksEach = 4;

// Each thread's.
struct Own {
  AmxQuantPanels panels;
  alignas(64) float chains[kBandRows][kAmxSquare];
};

struct QuantProduct {
  const GemmArgs& args;
  const QuantBands& bands;  // of groups of 16 rows, and of pairs of panels
  int64_t blocks;
  AmxQuantRows* rows;  // [super-block][group]
  Own* own;

  AmxQuantRows* rows_of(int64_t block) const { return rows + block / kSuperBlocks * bands.tiles; }
};

template <typename F>
void round_group(const QuantProduct& g, int64_t group) {
  const int64_t first = group * kAmxRows;
  with_elements(g.args.a, [&](const auto* a) {
    for (int64_t i = 0; i < kAmxRows; ++i) {
      if (first + i < g.args.m) {
        const auto* x = a + (first + i) * g.args.a.row_stride;
        each_super(x, g.blocks, [&](int64_t b, int64_t last, const QuantScale& by) {
          AmxQuantRows::put<F::kHasMinimum>(g.rows_of(b)[group], i, x + b * kQuantBlock, last - b,
                                            by);
        });
      } else {
        for (int64_t b = 0; b < g.blocks; b += kSuperBlocks) {
          AmxQuantRows::put_nothing(g.rows_of(b)[group], i);
        }
      }
    }
  });
}

// The lines of C that 16 rows from m0 on and `columns` from n0 on will be written to.
void fetch_to_write(const GemmArgs& args, int64_t m0, int64_t n0, int64_t columns) {
  const int64_t element = size_of(args.c_dtype), rows = lesser(kAmxRows, args.m - m0);
  for (int64_t i = 0; i < rows; ++i) {
    std::byte* to = static_cast<std::byte*>(args.c) + ((m0 + i) * args.c_stride + n0) * element;
    for (int64_t k = 0; k < columns * element; k += 64) __builtin_prefetch(to + k, 1, 3);
  }
}

// Two panels by a band of rows.
template <typename F>
void multiply_pair(const QuantProduct& g, int64_t pair, int64_t first_group, int64_t last_group,
                   Own& own) {
  const int64_t stride = F::panel_bytes(g.blocks), n0 = pair * kAmxSquare;
  const int64_t columns = lesser(kAmxSquare, g.args.n - n0);
  const std::byte* left = static_cast<const std::byte*>(g.args.packed_b) + 2 * pair * stride;
  const int64_t groups = last_group - first_group;
  std::memset(own.chains, 0, static_cast<size_t>(groups * kAmxRows) * sizeof(own.chains[0]));
  for (int64_t begin = 0; begin < g.blocks; begin += kSuperBlocks) {
    const int64_t end = lesser(g.blocks, begin + kSuperBlocks);
    const bool last = end == g.blocks;
    const int64_t ahead = last ? 2 * stride - F::panel_bytes(begin) : F::kSuperBytes;
    amx_unpack<F>(left, begin, end, 0, ahead, own.panels);
    if (columns > kLanes) {
      amx_unpack<F>(left + stride, begin, end, 1, ahead, own.panels);
    } else {
      amx_unpack_nothing(1, own.panels);
    }
    const AmxQuantRows* rows = g.rows_of(begin) + first_group;
    AmxQuantChains<F> all(own.panels, ceil_div((end - begin) * kQuantBlock, kAmxBytes));
    const auto finish = [&](int64_t i) {  // C is written while the next group is computed
      const int64_t m0 = (first_group + i) * kAmxRows;
      finish_tile(g.args, own.chains[i * kAmxRows], kAmxSquare, m0, lesser(kAmxRows, g.args.m - m0),
                  n0, columns);
    };
    for (int64_t i = 0; i < groups; ++i) {
      if (last && i + 1 < groups) {
        fetch_to_write(g.args, (first_group + i + 1) * kAmxRows, n0, columns);
      }
      all.add(rows[i], rows + i + 1, own.chains[i * kAmxRows]);
      if (last && i > 0) finish(i - 1);
    }
    all.finish();
    if (last) finish(groups - 1);
  }
}

template <typename F>
void multiply(const QuantProduct& g, const Team& team) {
  const QuantBands& p = g.bands;
  parallel_for(team, p.tiles, [&](int64_t group, int) { round_group<F>(g, group); });
  parallel_for(team, p.bands * p.columns, [&](int64_t task, int thread) {
    const int64_t band = task / p.columns, column = task % p.columns;
    const int64_t first = band * p.band_tiles, last = lesser(p.tiles, first + p.band_tiles);
    const int64_t last_pair = lesser(p.panels, (column + 1) * p.task_panels);
    amx_configure(kAmxRows);
    for (int64_t pair = column * p.task_panels; pair < last_pair; ++pair) {
      multiply_pair<F>(g, pair, first, last, g.own[thread]);
    }
    amx_release();
  });
}

}  // namespace

int64_t amx_quant_scratch(const GemmArgs& args, int threads) {
  const int64_t rows = ceil_div(args.m, kAmxRows) * ceil_div(args.r, kQuantSuper);
  return rows * static_cast<int64_t>(sizeof(AmxQuantRows)) +
         threads * static_cast<int64_t>(sizeof(Own));
}

void amx_quant_gemm(const GemmArgs& args, const Team& team) {
  const QuantBands bands =
      cut_bands(ceil_div(args.m, kAmxRows), kBandRows / kAmxRows, ceil_div(args.n, kAmxSquare),
                kTaskPairs, 1, kTasksEach * team.threads);
  std::byte* rows = team.scratch + team.threads * static_cast<int64_t>(sizeof(Own));
  const QuantProduct g = {args, bands, args.r / kQuantBlock, reinterpret_cast<AmxQuantRows*>(rows),
                          reinterpret_cast<Own*>(team.scratch)};
  with_format(args.packed_dtype, [&]<typename F>(F) { multiply<F>(g, team); });
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
