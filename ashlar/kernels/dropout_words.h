// What dropout draws: Philox4x32-10 on vectors, the words of ashlar/base/philox.h, 64 at a time,
// and which of them drop their element.
#pragma once

#include "ashlar/kernels/vec.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// Elements of 16 Philox blocks of 4 words.
inline constexpr int64_t kDropoutGroup = 4 * kLanes;

ASHLAR_INLINE Ints flip_top(Ints a) { return a ^ ints(INT32_MIN); }
ASHLAR_INLINE Ints word(uint64_t x) { return ints(static_cast<int32_t>(static_cast<uint32_t>(x))); }

// The smallest integer >= rate * 2^32, of a rate below 1: an element is dropped whose word is
// below.
ASHLAR_INLINE uint32_t drop_threshold(float rate) {
  const double bound = static_cast<double>(rate) * 0x1p32;
  const auto threshold = static_cast<uint32_t>(bound);
  return static_cast<double>(threshold) < bound ? threshold + 1 : threshold;
}
ASHLAR_INLINE Mask dropped(uint32_t threshold, Ints words) {
  return greater(flip_top(word(threshold)), flip_top(words));
}

// Ten rounds on 8 blocks whose counters stand in the even lanes of c. Odd lanes hold remains: only
// even lanes are multiplied.
ASHLAR_INLINE void philox_rounds(uint64_t key, Ints (&c)[4]) {
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
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

// Words of the 16 blocks whose counters are {first, first + 1, ...}, c1, c2, c3; first is a
// multiple of 16. words[k] holds words 16k to 16k + 15 of the 64.
ASHLAR_INLINE void philox_group(uint64_t key, uint64_t first, uint64_t c1, uint64_t c2, uint64_t c3,
                                Ints (&words)[4]) {
  // Lane 4g + k draws block 4k + g, so that a transpose of quads puts elements in order.
  const Ints lane = iota();
  const Ints block = word(first) + shift_left<2>(lane & ints(3)) + shift_right<2>(lane);
  Ints even[4] = {block, word(c1), word(c2), word(c3)};
  Ints odd[4] = {odd_lanes(block), word(c1), word(c2), word(c3)};
  philox_rounds(key, even);
  philox_rounds(key, odd);
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) words[k] = pair_even(even[k], odd[k]);
  transpose_quads(words);
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
