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

// logits = softmax * scale, with a cap times its slope.
ASHLAR_INLINE void scaled_softmax(float* logits, int64_t vocab, Softmax softmax, float scale,
                                  float softcap) {
  const Vec highest = broadcast(softmax.highest);
  const Vec factor = broadcast(scale / softmax.sum);
  if (softcap > 0) {
    const Vec inverse = broadcast(1 / softcap);
    for_each_vec(vocab, [&](int64_t i, auto count) {
      const Vec x = load(logits + i, count), t = x * inverse;
      store(logits + i, exp(x - highest) * factor * fnma(t, t, broadcast(1)), count);
    });
    return;
  }
  for_each_vec(vocab, [&](int64_t i, auto count) {
    store(logits + i, exp(load(logits + i, count) - highest) * factor, count);
  });
}

ASHLAR_INLINE void clear(float* logits, int64_t vocab) {
  for_each_vec(vocab, [&](int64_t i, auto count) { store(logits + i, zero(), count); });
}

ASHLAR_INLINE void cross_entropy_row(const CrossEntropyArgs& args, int64_t t) {
  float* logits = args.logits + t * args.logits_stride;
  const int32_t target = args.targets[t];
  const bool counted = target >= 0;
  if (!counted) args.loss[t] = 0;
  if (counted || args.lse != nullptr) {
    if (args.softcap > 0) cap_logits(logits, args.vocab, args.softcap);
    const Softmax softmax = softmax_of(logits, args.vocab);
    const float log_sum = log_of(softmax.sum);
    if (args.lse != nullptr) args.lse[t] = softmax.highest + log_sum;
    if (counted) {
      args.loss[t] = log_sum - (logits[target] - softmax.highest);
      if (!args.gradient) return;
      const float slope = cap_slope(logits[target], args.softcap);
      scaled_softmax(logits, args.vocab, softmax, args.scale, args.softcap);
      logits[target] -= args.scale * slope;
      return;
    }
  }
  if (args.gradient) clear(logits, args.vocab);
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
    float* logits = args.logits + t * args.logits_stride;
    const bool counted = args.targets[t] >= 0;
    args.loss[t] = counted ? log_of(args.sum[t]) - args.target[t] : 0;
    if (!args.gradient) return;
    if (!counted) return clear(logits, args.vocab);
    const int64_t target = args.targets[t] - args.first;
    const bool here = target >= 0 && target < args.vocab;
    const float slope = here ? cap_slope(logits[target], args.softcap) : 0;
    scaled_softmax(logits, args.vocab, {args.highest_of_all[t], args.sum[t]}, args.scale,
                   args.softcap);
    if (here) logits[target] -= args.scale * slope;
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
