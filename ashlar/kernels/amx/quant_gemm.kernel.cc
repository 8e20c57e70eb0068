// Quantised weights, many rows: rows are rounded to bytes once, then each task takes a band of rows
// and some panels. It unpacks a super-block of two panels and lets the whole band go by.
#include "ashlar/kernels/amx/quant_gemm.h"

#include "ashlar/kernels/amx/quant_product.h"
#include "ashlar/kernels/gemm_epilogue.h"
#include "ashlar/kernels/quant_bands.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

namespace {

constexpr int64_t kTaskPairs = 4;  // pairs of panels
constexpr int64_t kTasksEach = 4;

template <typename F>
void multiply_pair(const GemmArgs& args, const AmxRounded& rows, int64_t pair, int64_t first_group,
                   int64_t groups, AmxQuantOwn& own) {
  const AmxQuantWeights weights(args);
  const int64_t n0 = pair * kAmxSquare, columns = weights.columns_of(pair);
  amx_multiply_pair<F>(
      weights, pair, rows, first_group, groups, own.panels, own.chains,
      [&](int64_t i) {
        const int64_t m0 = (first_group + i) * kAmxRows;
        fetch_to_finish(args, m0, lesser(kAmxRows, args.m - m0), n0, columns);
      },
      [&](int64_t i) {
        const int64_t m0 = (first_group + i) * kAmxRows;
        finish_tile(args, own.chains[i * kAmxRows], kAmxSquare, m0, lesser(kAmxRows, args.m - m0),
                    n0, columns);
      });
}

}  // namespace

void amx_multiply_rounded(const GemmArgs& args, const AmxRounded& rows, AmxQuantOwn* of_threads,
                          const Team& team) {
  const QuantBands p =
      cut_bands(ceil_div(args.m, kAmxRows), kAmxBandRows / kAmxRows, ceil_div(args.n, kAmxSquare),
                kTaskPairs, 1, kTasksEach * team.threads);
  with_format(args.packed_dtype, [&]<typename F>(F) {
    parallel_for(team, p.bands * p.columns, [&](int64_t task, int thread) {
      const int64_t band = task / p.columns, column = task % p.columns;
      const int64_t first = band * p.band_tiles, last = lesser(p.tiles, first + p.band_tiles);
      const int64_t last_pair = lesser(p.panels, (column + 1) * p.task_panels);
      amx_configure(kAmxRows);
      for (int64_t pair = column * p.task_panels; pair < last_pair; ++pair) {
        multiply_pair<F>(args, rows, pair, first, last - first, of_threads[thread]);
      }
      amx_release();
    });
  });
}

int64_t amx_quant_scratch(const GemmArgs& args, int threads) {
  return threads * static_cast<int64_t>(sizeof(AmxQuantOwn)) + AmxRounded::bytes(args.m, args.r);
}

void amx_quant_gemm(const GemmArgs* products, int count, const Team& team) {
  auto* of_threads = reinterpret_cast<AmxQuantOwn*>(team.scratch);
  const AmxRounded rows = {reinterpret_cast<AmxQuantRows*>(of_threads + team.threads),
                           ceil_div(products->m, kAmxRows)};
  bool with_sums = false;
  for (int i = 0; i < count; ++i) with_sums |= has_minimum(products[i].packed_dtype);
  amx_round_rows(*products, with_sums, rows, team);
  for (int i = 0; i < count; ++i) amx_multiply_rounded(products[i], rows, of_threads, team);
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
