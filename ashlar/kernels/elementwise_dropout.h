// Dropout by Philox4x32-10 on vectors: the words of ashlar/base/philox.h, 64 elements at a time. An
// element's fate depends on its global index alone.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/vec.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// Elements of 16 Philox blocks of 4 words.
inline constexpr int64_t kDropoutGroup = 4 * kLanes;

struct DropoutRule {
  uint64_t key, step;
  Ints threshold;  // words below it are dropped; both sides with the top bit flipped
  Vec keep_rate;   // 1 - rate
  bool drop_all;
};

ASHLAR_INLINE Ints flip_top(Ints a) { return a ^ ints(INT32_MIN); }
ASHLAR_INLINE Ints word(uint64_t x) { return ints(static_cast<int32_t>(static_cast<uint32_t>(x))); }

ASHLAR_INLINE DropoutRule dropout_rule(const DropoutArgs& args) {
  // The smallest integer >= rate * 2^32: words are integers.
  const double bound = static_cast<double>(args.rate) * 0x1p32;
  uint64_t threshold = bound < 0x1p32 ? static_cast<uint64_t>(bound) : 0;
  if (static_cast<double>(threshold) < bound) ++threshold;
  return {args.key, args.step, flip_top(word(threshold)), broadcast(1 - args.rate),
          !(args.rate < 1)};
}

// Ten rounds on 8 blocks whose counters stand in the even lanes of c. Odd lanes hold remains: only
// even lanes are multiplied.
ASHLAR_INLINE void philox_rounds(const DropoutRule& rule, Ints (&c)[4]) {
  uint32_t k0 = static_cast<uint32_t>(rule.key);
  uint32_t k1 = static_cast<uint32_t>(rule.key >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const Ints product0 = mul_even(word(0xD2511F53u), c[0]);
    const Ints product1 = mul_even(word(0xCD9E8D57u), c[2]);
    c[0] = odd_lanes(product1) ^ c[1] ^ word(k0);
    c[1] = product1;
    c[2] = odd_lanes(product0) ^ c[3] ^ word(k1);
    c[3] = product0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

// Words of elements [64 group, 64 group + 64): words[k] holds elements 16k to 16k + 15 of them.
ASHLAR_INLINE void philox_group(const DropoutRule& rule, uint64_t group, Ints (&words)[4]) {
  // Lane 4g + k draws block 4k + g, so that a transpose of quads puts elements in order.
  const Ints lane = iota();
  const uint64_t first = group * kLanes;
  const Ints block = word(first) + shift_left<2>(lane & ints(3)) + shift_right<2>(lane);
  const Ints high = word(first >> 32);
  const Ints step_low = word(rule.step), step_high = word(rule.step >> 32);
  Ints even[4] = {block, high, step_low, step_high};
  Ints odd[4] = {odd_lanes(block), high, step_low, step_high};
  philox_rounds(rule, even);
  philox_rounds(rule, odd);
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) words[k] = pair_even(even[k], odd[k]);
  transpose_quads(words);
}

ASHLAR_INLINE Vec drop(const DropoutRule& rule, Ints words, Vec x) {
  const Mask dropped = greater(rule.threshold, flip_top(words));
  return select(dropped, zero(), x / rule.keep_rate);
}

// Elements [begin, end) of the call: whole groups as vectors, groups cut by an end through a
// buffer.
template <typename T>
ASHLAR_INLINE void drop_range(const DropoutArgs& args, int64_t begin, int64_t end) {
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  const DropoutRule rule = dropout_rule(args);
  for (int64_t i = begin; i < end;) {
    const uint64_t element = args.first_element + static_cast<uint64_t>(i);
    const int64_t skip = static_cast<int64_t>(element % kDropoutGroup);
    const int64_t left = end - i;
    const int64_t count = left < kDropoutGroup - skip ? left : kDropoutGroup - skip;
    Ints words[4];
    philox_group(rule, element / kDropoutGroup, words);
    if (rule.drop_all) {
      for (int64_t j = 0; j < count; ++j) y[i + j] = T{};
    } else if (count == kDropoutGroup) {
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        store(y + i + k * kLanes, drop(rule, words[k], load(x + i + k * kLanes)));
      }
    } else {
      T buffer[kDropoutGroup] = {};
      std::memcpy(buffer + skip, x + i, static_cast<size_t>(count) * sizeof(T));
      for (int k = 0; k < 4; ++k) {
        store(buffer + k * kLanes, drop(rule, words[k], load(buffer + k * kLanes)));
      }
      std::memcpy(y + i, buffer + skip, static_cast<size_t>(count) * sizeof(T));
    }
    i += count;
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
