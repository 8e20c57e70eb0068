// A keyed permutation of [0, size) without a table: a Feistel network over the next even number of
// bits, its rounds Philox draws, walked until it lands inside (Black and Rogaway, "Ciphers with
// arbitrary finite domains", 2002).
#pragma once

#include "ashlar/base/error.h"
#include "ashlar/base/philox.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>

namespace ashlar::data {

class Permutation {
 public:
  // A pure function of the three.
  Permutation(uint64_t key, uint64_t epoch, int64_t size)
      : key_(key), epoch_(epoch), size_(static_cast<uint64_t>(size)) {
    ASHLAR_DCHECK(size > 0);
    const auto bits = static_cast<int>(std::bit_width(size_ - 1));
    half_bits_ = std::max(1, (bits + 1) / 2);
  }

  int64_t operator()(int64_t index) const {
    auto at = static_cast<uint64_t>(index);
    do {
      at = shuffle(at);
    } while (at >= size_);  // fewer than four times on average
    return static_cast<int64_t>(at);
  }

 private:
  static constexpr uint32_t kRounds = 6;

  uint64_t shuffle(uint64_t value) const {
    const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
    uint64_t left = value >> half_bits_, right = value & mask;
    for (uint32_t round = 0; round < kRounds; ++round) {
      const PhiloxBlock draw =
          philox4x32(key_, {static_cast<uint32_t>(right), round, static_cast<uint32_t>(epoch_),
                            static_cast<uint32_t>(epoch_ >> 32)});
      left ^= draw[0] & mask;
      std::swap(left, right);
    }
    return left << half_bits_ | right;
  }

  uint64_t key_, epoch_, size_;
  int half_bits_ = 1;  // at most 32: a Philox word
};

}  // namespace ashlar::data
