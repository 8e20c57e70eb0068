// gemm where B is quantised and packed. Rows are rounded to bytes first, then tiles of rows meet
// panels of B. Few rows: every panel is read once, at the speed of memory. Many: panels stay in the
// caches while a band of rows goes by.
#include "ashlar/kernels/quant_gemm.h"

#include "ashlar/kernels/gemm_epilogue.h"
#include "ashlar/kernels/quant_product.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

namespace {

constexpr int64_t kFewRows = 32;

// Few rows wait for memory, which a core reads the faster the longer it goes straight on.
QuantBands plan_quant(const GemmArgs& args, int threads) {
  const bool few = args.m <= kFewRows;
  const int64_t most_panels = few ? 64 : 8, tasks_each = few ? 4 : 8;
  return cut_bands(ceil_div(args.m, rows_of_tile(args.m)), kBandTiles, ceil_div(args.n, kLanes),
                   most_panels, kQuantPanels, tasks_each * threads);
}

// A band of rows by some panels.
template <typename F>
void run_task(const GemmArgs& args, const QuantBands& p, const std::byte* rounded, int64_t task) {
  const int64_t band_rows = p.band_tiles * rows_of_tile(args.m);
  const int64_t m0 = task / p.columns * band_rows, first = task % p.columns * p.task_panels;
  multiply_band<F>(
      args, rounded, m0, lesser(args.m, m0 + band_rows), first,
      lesser(p.panels, first + p.task_panels),
      [&](int64_t m, int64_t rows, int64_t n, int64_t columns) {
        fetch_to_finish(args, m, rows, n, columns);
      },
      [&](const float* sums, int64_t m, int64_t rows, int64_t n, int64_t columns) {
        finish_tile(args, sums, kQuantStride, m, rows, n, columns);
      });
}

// The first product that wants rows of the format of product i.
int first_alike(const GemmArgs* products, int i) {
  int first = 0;
  while (products[first].packed_dtype != products[i].packed_dtype) ++first;
  return first;
}

struct QuantProduct {
  const GemmArgs* args;
  QuantBands plan;
  const std::byte* rows;
};

void multiply(const QuantProduct* products, int64_t tasks, const Team& team) {
  parallel_for(team, tasks, [&](int64_t task, int) {
    const QuantProduct* p = products;
    for (int64_t own; task >= (own = p->plan.bands * p->plan.columns); ++p) task -= own;
    with_format(p->args->packed_dtype,
                [&]<typename F>(F) { run_task<F>(*p->args, p->plan, p->rows, task); });
  });
}

}  // namespace

int64_t quant_packed_bytes(DType dtype, int64_t r, int64_t n) {
  return with_format(dtype, [&]<typename F>(F) { return ceil_div(n, kLanes) * panel_bytes<F>(r); });
}

void quant_pack(const MatrixView& b, int64_t r, int64_t n, int64_t n_begin, int64_t n_end,
                void* packed) {
  with_format(b.dtype, [&]<typename F>(F) {
    const int64_t first = n_begin / kLanes, stride = panel_bytes<F>(r);
    const int64_t count = ceil_div(lesser(n_end, n), kLanes) - first;
    pack_panels<F>(static_cast<const std::byte*>(b.data), r, n, first, count, 0, r / kQuantBlock,
                   static_cast<std::byte*>(packed) + first * stride, stride);
  });
}

int64_t quant_gemm_scratch(const GemmArgs* products, int count) {
  int64_t bytes = 0;
  for (int i = 0; i < count; ++i) {
    if (first_alike(products, i) == i) bytes += rounded_bytes(products[i]);
  }
  return bytes;
}

void quant_gemm(const GemmArgs* products, int count, const Team& team) {
  QuantProduct all[kMostProducts];
  std::byte* scratch = team.scratch;
  int64_t tasks = 0;
  for (int i = 0; i < count; ++i) {
    const GemmArgs& args = products[i];
    all[i] = {&args, plan_quant(args, team.threads), scratch};
    tasks += all[i].plan.bands * all[i].plan.columns;
    if (const int first = first_alike(products, i); first < i) {
      all[i].rows = all[first].rows;
      continue;
    }
    with_format(args.packed_dtype, [&]<typename F>(F) { round_rows<F>(args, scratch, team); });
    scratch += rounded_bytes(args);
  }
  multiply(all, tasks, team);
}

void quant_gemm_rounded(const GemmArgs& args, const std::byte* rounded, const Team& team) {
  const QuantProduct product = {&args, plan_quant(args, team.threads), rounded};
  multiply(&product, product.plan.bands * product.plan.columns, team);
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
