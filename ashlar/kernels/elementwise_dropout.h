// Dropout of an array: an element's fate depends on its global index alone.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/dropout_words.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

ASHLAR_INLINE Vec drop(uint32_t threshold, Vec keep_rate, Ints words, Vec x) {
  return select(dropped(threshold, words), zero(), x / keep_rate);
}

// Elements [begin, end) of the call: whole groups as vectors, groups cut by an end through a
// buffer.
template <typename T>
ASHLAR_INLINE void drop_range(const DropoutArgs& args, int64_t begin, int64_t end) {
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  const bool drop_all = !(args.rate < 1);
  const uint32_t threshold = drop_all ? 0 : drop_threshold(args.rate);
  const Vec keep_rate = broadcast(1 - args.rate);
  for (int64_t i = begin; i < end;) {
    const uint64_t element = args.first_element + static_cast<uint64_t>(i);
    const int64_t skip = static_cast<int64_t>(element % kDropoutGroup);
    const int64_t left = end - i;
    const int64_t count = left < kDropoutGroup - skip ? left : kDropoutGroup - skip;
    const uint64_t block = element / kDropoutGroup * kLanes;
    Ints words[4];
    philox_group(args.key, block, block >> 32, args.step, args.step >> 32, words);
    if (drop_all) {
      for (int64_t j = 0; j < count; ++j) y[i + j] = T{};
    } else if (count == kDropoutGroup) {
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        store(y + i + k * kLanes, drop(threshold, keep_rate, words[k], load(x + i + k * kLanes)));
      }
    } else {
      T buffer[kDropoutGroup] = {};
      std::memcpy(buffer + skip, x + i, static_cast<size_t>(count) * sizeof(T));
      for (int k = 0; k < 4; ++k) {
        store(buffer + k * kLanes, drop(threshold, keep_rate, words[k], load(buffer + k * kLanes)));
      }
      std::memcpy(y + i, buffer + skip, static_cast<size_t>(count) * sizeof(T));
    }
    i += count;
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
