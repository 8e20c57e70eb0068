// AdamW in one pass over its state, and the sum of squares that gradient clipping needs.
#include "ashlar/kernels/dropout_words.h"
#include "ashlar/kernels/rows_parallel.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

// One element's update, in f32 whatever its parameter is stored in.
struct AdamW {
  const AdamWArgs& args;
  const Vec grad_scale = broadcast(args.grad_scale);
  const Vec beta1 = broadcast(args.beta1), beta2 = broadcast(args.beta2);
  const Vec rest1 = broadcast(1 - args.beta1), rest2 = broadcast(1 - args.beta2);
  const Vec unbias1 = broadcast(1 / args.bias_correction1);
  const Vec unbias2 = broadcast(1 / args.bias_correction2);
  const Vec lr = broadcast(args.lr), eps = broadcast(args.eps);
  const Vec decay = broadcast(args.weight_decay);

  // Writes the moments, returns the new parameter.
  template <typename T, typename G, typename Count>
  ASHLAR_INLINE Vec step(const AdamW& a, const T* params, const G* grads, int64_t i, Count count) {
    const Vec g = load(grads + i, count) * a.grad_scale;
    const Vec m = fma(a.rest1, g, a.beta1 * load(a.args.m + i, count));
    const Vec v = fma(a.rest2 * g, g, a.beta2 * load(a.args.v + i, count));
    const Vec param = load(params + i, count);
    const Vec change = fma(a.decay, param, m * a.unbias1 / (sqrt(v * a.unbias2) + a.eps));
    store(a.args.m + i, m, count);
    store(a.args.v + i, v, count);
    return fnma(a.lr, change, param);
  }
};

template <typename G>
void update_master(const AdamWArgs& args, const Team& team) {
  const AdamW adamw{args};
  const G* grads = static_cast<const G*>(args.grad);
  float* params = static_cast<float*>(args.param);
  parallel_ranges(team, args.elements, kTaskElements, [&](int64_t begin, int64_t end) {
    for_each_vec(end - begin, [&](int64_t offset, auto count) {
      const int64_t i = begin + offset;
      const Vec updated = AdamW::step(adamw, params, grads, i, count);
      store(params + i, updated, count);
      if (args.shadow == nullptr) return;
      if (args.shadow_dtype == DType::kF16) {
        store(static_cast<f16*>(args.shadow) + i, updated, count);
      } else {
        store(static_cast<bf16*>(args.shadow) + i, updated, count);
      }
    });
  });
}

// x or its neighbour among bf16 numbers further from 0, which is taken with the probability of what
// x has beyond the other; NaN and infinities stay.
ASHLAR_INLINE Vec stochastic_bf16(Vec x, Ints words) {
  const Ints cut = (as_ints(x) + (words & ints(0xffff))) & ints(static_cast<int32_t>(0xffff0000u));
  return select(less(abs(x), broadcast(__builtin_inff())), as_floats(cut), x);
}

// Elements of one group of Philox blocks that lie together in the part, and what they draw.
struct Drawn {
  int64_t count, skip;                    // elements, and those of the group in front of them
  int32_t words[kDropoutGroup + kLanes];  // a vector may be read behind the last
};

ASHLAR_INLINE void draw_from(const AdamWArgs& args, int64_t begin, int64_t end, Drawn& drawn) {
  int64_t element = args.first_element + begin, left = end - begin;
  if (args.run > 0) {
    const int64_t before = begin % args.run;
    element = args.first_element + begin / args.run * args.stride + before;
    left = left < args.run - before ? left : args.run - before;
  }
  drawn.skip = element % kDropoutGroup;
  const int64_t rest = kDropoutGroup - drawn.skip;
  drawn.count = left < rest ? left : rest;
  const uint64_t block = static_cast<uint64_t>(element) / kDropoutGroup * kLanes;
  Ints words[4];
  philox_group(args.key, block, block >> 32, args.step, args.step >> 32, words);
  for (int k = 0; k < 4; ++k) store(drawn.words + k * kLanes, words[k]);
}

// A parameter without a master.
template <typename G>
void update_bf16(const AdamWArgs& args, const Team& team) {
  const AdamW adamw{args};
  const G* grads = static_cast<const G*>(args.grad);
  bf16* params = static_cast<bf16*>(args.param);
  parallel_ranges(team, args.elements, kTaskElements, [&](int64_t begin, int64_t end) {
    if (!args.stochastic) {
      for_each_vec(end - begin, [&](int64_t k, auto count) {
        store(params + begin + k, AdamW::step(adamw, params, grads, begin + k, count), count);
      });
      return;
    }
    Drawn drawn;
    store(drawn.words + kDropoutGroup, ints(0));
    for (int64_t i = begin; i < end; i += drawn.count) {
      draw_from(args, i, end, drawn);
      for_each_vec(drawn.count, [&](int64_t k, auto count) {
        const Vec updated = AdamW::step(adamw, params, grads, i + k, count);
        const Ints words = load(drawn.words + drawn.skip + k);
        store(params + i + k, stochastic_bf16(updated, words), count);
      });
    }
  });
}

template <typename G>
void adamw_by(const AdamWArgs& args, const Team& team) {
  args.param_dtype == DType::kBF16 ? update_bf16<G>(args, team) : update_master<G>(args, team);
}

void adamw(const AdamWArgs& args, const Team& team) {
  args.grad_dtype == DType::kBF16 ? adamw_by<bf16>(args, team) : adamw_by<float>(args, team);
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

// bf16 is widened first, which is exact.
ASHLAR_INLINE double sum_squares_block(const bf16* x, int64_t elements) {
  float wide[kNormBlock];
  for_each_vec(elements,
               [&](int64_t i, auto count) { store(wide + i, load(x + i, count), count); });
  return sum_squares_block(wide, elements);
}

int64_t blocks_of(int64_t elements) { return (elements + kNormBlock - 1) / kNormBlock; }

int64_t sum_squares_scratch(int64_t elements) {
  return blocks_of(elements) * static_cast<int64_t>(sizeof(double));
}

template <typename T>
void sum_squares_of(const SumSquaresArgs& args, const Team& team) {
  const T* x = static_cast<const T*>(args.x);
  double* block_sums = reinterpret_cast<double*>(team.scratch);
  parallel_ranges(team, args.elements, kTaskElements, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kNormBlock) {
      const int64_t size = end - i < kNormBlock ? end - i : kNormBlock;
      block_sums[i / kNormBlock] = sum_squares_block(x + i, size);
    }
  });
  double sum = 0;
  for (int64_t b = 0; b < blocks_of(args.elements); ++b) sum += block_sums[b];
  *args.sum = sum;
}

void sum_squares(const SumSquaresArgs& args, const Team& team) {
  args.dtype == DType::kBF16 ? sum_squares_of<bf16>(args, team) : sum_squares_of<float>(args, team);
}

static_assert(kTaskElements % kNormBlock == 0);

}  // namespace

void fill_optimizer(KernelTable& table) {
  table.adamw = adamw;
  table.sum_squares_scratch = sum_squares_scratch;
  table.sum_squares = sum_squares;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
