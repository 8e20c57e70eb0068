// AdamW in one pass over its state, and the sum of squares that gradient clipping needs.
#include "ashlar/kernels/rows_parallel.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

void adamw(const AdamWArgs& args, const Team& team) {
  const Vec grad_scale = broadcast(args.grad_scale);
  const Vec beta1 = broadcast(args.beta1), beta2 = broadcast(args.beta2);
  const Vec rest1 = broadcast(1 - args.beta1), rest2 = broadcast(1 - args.beta2);
  const Vec unbias1 = broadcast(1 / args.bias_correction1);
  const Vec unbias2 = broadcast(1 / args.bias_correction2);
  const Vec lr = broadcast(args.lr), eps = broadcast(args.eps);
  const Vec decay = broadcast(args.weight_decay);
  parallel_ranges(team, args.elements, kTaskElements, [&](int64_t begin, int64_t end) {
    for_each_vec(end - begin, [&](int64_t offset, auto count) {
      const int64_t i = begin + offset;
      const Vec g = load(args.grad + i, count) * grad_scale;
      const Vec m = fma(rest1, g, beta1 * load(args.m + i, count));
      const Vec v = fma(rest2 * g, g, beta2 * load(args.v + i, count));
      const Vec param = load(args.param + i, count);
      const Vec step = fma(decay, param, m * unbias1 / (sqrt(v * unbias2) + eps));
      const Vec updated = fnma(lr, step, param);
      store(args.m + i, m, count);
      store(args.v + i, v, count);
      store(args.param + i, updated, count);
      if (args.param_bf16 != nullptr) store(args.param_bf16 + i, updated, count);
    });
  });
}

ASHLAR_INLINE double square(float x) { return static_cast<double>(x) * static_cast<double>(x); }

// The product of two floats is exact in f64, so fused or not, the bits are the same on every tier.
ASHLAR_INLINE double sum_squares_block(const float* x, int64_t elements) {
  double sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= elements; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) sums[j] += square(x[i + j]);
  }
  for (; i < elements; ++i) sums[i % kLanes] += square(x[i]);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) sums[j] += sums[j + half];
  }
  return sums[0];
}

int64_t blocks_of(int64_t elements) { return (elements + kNormBlock - 1) / kNormBlock; }

int64_t sum_squares_scratch(int64_t elements) {
  return blocks_of(elements) * static_cast<int64_t>(sizeof(double));
}

void sum_squares(const SumSquaresArgs& args, const Team& team) {
  double* block_sums = reinterpret_cast<double*>(team.scratch);
  parallel_ranges(team, args.elements, kTaskElements, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kNormBlock) {
      const int64_t size = end - i < kNormBlock ? end - i : kNormBlock;
      block_sums[i / kNormBlock] = sum_squares_block(args.x + i, size);
    }
  });
  double sum = 0;
  for (int64_t b = 0; b < blocks_of(args.elements); ++b) sum += block_sums[b];
  *args.sum = sum;
}

static_assert(kTaskElements % kNormBlock == 0);

}  // namespace

void fill_optimizer(KernelTable& table) {
  table.adamw = adamw;
  table.sum_squares_scratch = sum_squares_scratch;
  table.sum_squares = sum_squares;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
