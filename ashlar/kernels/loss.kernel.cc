// Cross-entropy: one pass over the logits for maximum and sum, one for the gradient in their place.
#include "ashlar/kernels/rows_parallel.h"
#include "ashlar/kernels/table.h"
#include "ashlar/kernels/vec_math.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

inline constexpr float kLowest = -0x1.fffffep127f;

// sum = sum of exp(logit - highest).
struct Softmax {
  float highest, sum;
};

// Online softmax (Milakov and Gimelshein 2018) in blocks that stay in the first cache between their
// maximum and their sum. highest starts finite: logits of -inf add 0 and never NaN.
ASHLAR_INLINE Softmax softmax_of(const float* logits, int64_t vocab) {
  float highest = kLowest;
  Vec sum = zero();
  for (int64_t begin = 0; begin < vocab; begin += kLossBlock) {
    const int64_t size = vocab - begin < kLossBlock ? vocab - begin : kLossBlock;
    const float* block = logits + begin;
    Vec top = broadcast(highest);
    int64_t i = 0;  // max(x, top) is top where x is NaN: a NaN shows in the sum
    for (; i + kLanes <= size; i += kLanes) top = max(load(block + i), top);
    if (i < size) {
      top = max(select(first_lanes(size - i), load(block + i, size - i), top), top);
    }
    const float block_highest = reduce_max(top);
    if (block_highest > highest) {
      sum = sum * exp(broadcast(highest - block_highest));
      highest = block_highest;
    }
    for_each_vec(size, [&](int64_t j, auto count) {
      sum = sum + keep(exp(load(block + j, count) - broadcast(highest)), count);
    });
  }
  return {highest, reduce_add(sum)};
}

ASHLAR_INLINE float exp_of(float x) { return reduce_max(exp(broadcast(x))); }
ASHLAR_INLINE float log_of(float x) { return reduce_max(log(broadcast(x))); }

// logits = cap tanh(logits / cap).
ASHLAR_INLINE void cap_logits(float* logits, int64_t vocab, float softcap) {
  const Vec cap = broadcast(softcap), inverse = broadcast(1 / softcap);
  for_each_vec(vocab, [&](int64_t i, auto count) {
    store(logits + i, cap * tanh(load(logits + i, count) * inverse), count);
  });
}

// d capped / d logit, from the capped logit.
ASHLAR_INLINE float cap_slope(float capped, float softcap) {
  const float t = softcap > 0 ? capped / softcap : 0;
  return 1 - t * t;
}

// What stands in the place of a row of logits: (softmax - onehot) * scale, with a cap times its
// slope. target: -1 where it is not among these logits.
template <typename T>
ASHLAR_INLINE void gradient_row(float* logits, int64_t vocab, Softmax softmax, float scale,
                                float softcap, int64_t target) {
  T* to = reinterpret_cast<T*>(logits);  // an element lies at or before the logit it is made of
  const Vec highest = broadcast(softmax.highest);
  const Vec factor = broadcast(scale / softmax.sum);
  const float of_target = target >= 0 ? logits[target] : 0;
  const auto write = [&](auto gradient) __attribute__((always_inline)) {
    for_each_vec(vocab, [&](int64_t i, auto count) {
      store(to + i, gradient(load(logits + i, count)), count);
    });
    if (target < 0) return;
    const Vec one = broadcast(scale * cap_slope(of_target, softcap));
    store(to + target, gradient(broadcast(of_target)) - one, 1);
  };
  const auto probability = [&](Vec x) __attribute__((always_inline)) {
    return exp(x - highest) * factor;
  };
  if (softcap > 0) {
    const Vec inverse = broadcast(1 / softcap);
    write([&](Vec x) __attribute__((always_inline)) {
      const Vec t = x * inverse;
      return probability(x) * fnma(t, t, broadcast(1));
    });
  } else {
    write(probability);
  }
}

template <typename T>
ASHLAR_INLINE void clear(T* to, int64_t count) {
  for_each_vec(count, [&](int64_t i, auto lanes) { store(to + i, zero(), lanes); });
}

// Row t of the logits becomes its gradient, 0 where the row is not counted.
template <typename Args>
ASHLAR_INLINE void write_gradient(const Args& args, int64_t t, Softmax softmax, int64_t target) {
  if (!args.gradient) return;
  float* logits = args.logits + t * args.logits_stride;
  const auto write = [&]<typename T>(T * to) __attribute__((always_inline)) {
    if (args.targets[t] < 0) return clear(to, args.vocab);
    gradient_row<T>(logits, args.vocab, softmax, args.scale, args.softcap, target);
  };
  if (args.gradient_dtype == DType::kBF16) {
    write(reinterpret_cast<bf16*>(logits));
  } else {
    write(logits);
  }
}

ASHLAR_INLINE void cross_entropy_row(const CrossEntropyArgs& args, int64_t t) {
  float* logits = args.logits + t * args.logits_stride;
  const int32_t target = args.targets[t];
  const bool counted = target >= 0;
  Softmax softmax = {};
  args.loss[t] = 0;
  if (counted || args.lse != nullptr) {
    if (args.softcap > 0) cap_logits(logits, args.vocab, args.softcap);
    softmax = softmax_of(logits, args.vocab);
    const float log_sum = log_of(softmax.sum);
    if (args.lse != nullptr) args.lse[t] = softmax.highest + log_sum;
    if (counted) args.loss[t] = log_sum - (logits[target] - softmax.highest);
  }
  write_gradient(args, t, softmax, target);
}

void cross_entropy(const CrossEntropyArgs& args, const Team& team) {
  parallel_rows(team, args.rows, args.vocab, [&](int64_t t) { cross_entropy_row(args, t); });
}

// ---------------------------------------------------------------- slices of the vocabulary
void softmax_slice(const CrossEntropySliceArgs& args, const Team& team) {
  parallel_rows(team, args.rows, args.vocab, [&](int64_t t) {
    float* logits = args.logits + t * args.logits_stride;
    if (args.softcap > 0) cap_logits(logits, args.vocab, args.softcap);
    const Softmax softmax = softmax_of(logits, args.vocab);
    args.highest[t] = softmax.highest;
    args.sum[t] = softmax.sum;
  });
}

void rescale_slice(const CrossEntropySliceArgs& args, const Team& team) {
  parallel_rows(team, args.rows, 1, [&](int64_t t) {
    const float highest = args.highest_of_all[t];
    const int64_t target = args.targets[t] - args.first;
    const bool here = args.targets[t] >= 0 && target >= 0 && target < args.vocab;
    args.sum[t] *= exp_of(args.highest[t] - highest);
    args.target[t] = here ? args.logits[t * args.logits_stride + target] - highest : 0;
  });
}

void cross_entropy_slice(const CrossEntropySliceArgs& args, const Team& team) {
  parallel_rows(team, args.rows, args.vocab, [&](int64_t t) {
    args.loss[t] = args.targets[t] >= 0 ? log_of(args.sum[t]) - args.target[t] : 0;
    const int64_t target = args.targets[t] - args.first;
    const bool here = target >= 0 && target < args.vocab;
    write_gradient(args, t, {args.highest_of_all[t], args.sum[t]}, here ? target : -1);
  });
}

}  // namespace

void fill_loss(KernelTable& table) {
  table.cross_entropy = cross_entropy;
  table.softmax_slice = softmax_slice;
  table.rescale_slice = rescale_slice;
  table.cross_entropy_slice = cross_entropy_slice;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
