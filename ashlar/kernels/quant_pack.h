// What the packing of every quantised format is made of: 16 outputs' blocks over one super-block
// are gathered, and their words of four bytes interleaved by transposing squares of 16 x 16.
#pragma once

#include "ashlar/kernels/pack_transpose.h"
#include "ashlar/kernels/vec_bytes.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

inline constexpr int64_t kWordsBytes = 64;  // a word of each of 16 outputs

// Blocks of one super-block, of each of `outputs` outputs (16 at most).
struct OutputBlocks {
  const std::byte* first;
  int64_t stride;  // bytes from an output to the next
  int64_t outputs, blocks;
  int64_t ahead;  // bytes from a block to one to be packed a little later

  const std::byte* at(int64_t output) const { return first + output * stride; }
  // Asks for what comes later, in the place of `bytes` of an output's blocks.
  void fetch_ahead(int64_t output, int64_t bytes) const {
    for (int64_t line = 0; line < bytes; line += 64) prefetch(at(output) + ahead + line);
  }
};

ASHLAR_INLINE void store_words(std::byte* p, Ints a) { store(reinterpret_cast<int32_t*>(p), a); }
// Of each lane the low bits that T has.
template <typename T>
ASHLAR_INLINE void store_low(std::byte* p, Ints a) {
  alignas(64) int32_t lanes[kLanes];
  T low[kLanes];
  store(lanes, a);
  for (int64_t i = 0; i < kLanes; ++i) low[i] = static_cast<T>(lanes[i]);
  std::memcpy(p, low, sizeof(low));
}

// kCount words of each of 16 outputs; of those never put, zeros.
template <int64_t kCount>
class CodeWords {
 public:
  void put(int64_t output, int64_t at, const std::byte* from, int64_t bytes) {
    std::memcpy(words_[output] + at, from, static_cast<size_t>(bytes));
  }
  // store(g, word g of each output)
  template <typename F>
  void interleave(F&& store) const {
    for (int64_t first = 0; first < kCount; first += kLanes) {
      Vec v[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) v[i] = load(words_[i] + first);
      transpose<kLanes>(v);
#pragma GCC unroll 16
      for (int g = 0; g < kLanes; ++g) {
        if (first + g < kCount) store(first + g, as_ints(v[g]));
      }
    }
  }

 private:
  static constexpr int64_t kStride = (kCount + kLanes - 1) / kLanes * kLanes;
  alignas(64) float words_[kLanes][kStride] = {};
};

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
