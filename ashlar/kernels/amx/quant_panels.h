// Operands of quantised products as AMX reads them. A weight's integer part, multiplier * (code -
// offset), has 16 bits: it lies in two planes of bytes, so that a whole super-block is summed by
// tiles without a scale in between.
#pragma once

#include "ashlar/kernels/amx/tile.h"
#include "ashlar/kernels/quant_formats.h"
#include "ashlar/kernels/quant_rows.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

inline constexpr int64_t kAmxQuantSteps = kQuantSuper / kAmxBytes;  // tiles along a super-block
enum AmxQuantPlane { kHighBytes, kLowBytes };                       // signed, unsigned

// Two panels over one super-block.
struct AmxQuantPanels {
  // [step][panel][plane]: 16 words of four elements of r by 16 outputs.
  alignas(64) int32_t words[kAmxQuantSteps][2][2][kAmxRows][kLanes];
  alignas(64) float scales[2][kLanes], minima[2][kLanes];
  alignas(64) int32_t minimum_pairs[kSuperBlocks / 2][2][kLanes];  // multipliers of two blocks
};

// a * by, 16 bits a product, in bytes: those of the four elements of a word.
ASHLAR_INLINE void amx_put_words(__m512i codes, __m512i by, int32_t* high, int32_t* low) {
  const __m512i even = _mm512_srai_epi16(_mm512_slli_epi16(codes, 8), 8);
  const __m512i a = _mm512_mullo_epi16(even, by);
  const __m512i b = _mm512_mullo_epi16(_mm512_srai_epi16(codes, 8), by);
  const __m512i odd_bytes = _mm512_set1_epi16(static_cast<int16_t>(0xff00));
  // 0xca: bits of the second where the first is 1, else of the third.
  const __m512i highs = _mm512_ternarylogic_epi32(odd_bytes, b, _mm512_srli_epi16(a, 8), 0xca);
  const __m512i lows = _mm512_ternarylogic_epi32(odd_bytes, _mm512_slli_epi16(b, 8), a, 0xca);
  _mm512_store_si512(high, highs);
  _mm512_store_si512(low, lows);
}

// Blocks [begin, end), a super-block, of one panel.
template <typename F>
static void amx_unpack(const std::byte* panel, int64_t begin, int64_t end, int64_t side,
                       AmxQuantPanels& to) {
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(F::kOffset));
  constexpr int kWordsOfSub = static_cast<int>(kBlockWords) / F::kSubBlocks;
  constexpr int64_t kBlocksOfStep = kAmxRows / kBlockWords;
  store(to.scales[side], F::scale(panel, begin / kSuperBlocks));
  if constexpr (F::kHasMinimum) {
    store(to.minima[side], F::minimum(panel, begin / kSuperBlocks));
    for (int64_t b = begin; b < end; b += 2) {
      const Ints first = F::minimum_multiplier(panel, b);
      const Ints second = F::minimum_multiplier(panel, b + 1);
      store(to.minimum_pairs[(b - begin) / 2][side], first | shift_left<16>(second));
    }
  }
  for (int64_t first = begin; first < end; first += F::kPeriod) {
#pragma GCC unroll 4
    for (int phase = 0; phase < F::kPeriod; ++phase) {
      const int64_t b = first + phase, at = b - begin;
      auto& tiles = to.words[at / kBlocksOfStep][side];
      const int64_t row = at % kBlocksOfStep * kBlockWords;
#pragma GCC unroll 2
      for (int sub = 0; sub < F::kSubBlocks; ++sub) {
        const Ints m = F::multiplier(panel, b, sub);
        const __m512i by = _mm512_or_si512(_mm512_and_si512(m.v, _mm512_set1_epi32(0xffff)),
                                           _mm512_slli_epi32(m.v, 16));
#pragma GCC unroll 8
        for (int k = 0; k < kWordsOfSub; ++k) {
          const int g = sub * kWordsOfSub + k;
          const __m512i codes = _mm512_sub_epi8(F::codes(panel, b, phase, g).v, offset);
          amx_put_words(codes, by, tiles[kHighBytes][row + g], tiles[kLowBytes][row + g]);
        }
      }
    }
  }
  if ((end - begin) % kBlocksOfStep != 0) {  // half a tile more
    auto& tiles = to.words[(end - begin) / kBlocksOfStep][side];
    for (auto& plane : tiles) std::memset(plane[kBlockWords], 0, kBlockWords * sizeof(plane[0]));
  }
}

// Panels without outputs.
ASHLAR_INLINE void amx_unpack_nothing(int64_t side, AmxQuantPanels& to) {
  for (auto& step : to.words) std::memset(step[side], 0, sizeof(step[side]));
  for (auto& pairs : to.minimum_pairs) std::memset(pairs[side], 0, sizeof(pairs[side]));
  store(to.scales[side], zero()), store(to.minima[side], zero());
}

// What will be unpacked next, the same bytes of two panels, fetched into the L2 cache bit by bit
// meanwhile: all at once would hold up the loads of tiles.
class AmxFetch {
 public:
  AmxFetch(const std::byte* left, const std::byte* right, int64_t bytes, int64_t steps)
      : from_{left, right}, lines_(ceil_div(bytes, 64)), of_step_(ceil_div(2 * lines_, steps)) {}

  __attribute__((always_inline)) void step() {
    for (const int64_t last = lesser(next_ + of_step_, 2 * lines_); next_ < last; ++next_) {
      __builtin_prefetch(next_ < lines_ ? from_[0] + next_ * 64 : from_[1] + (next_ - lines_) * 64,
                         0, 2);
    }
  }

 private:
  const std::byte* from_[2];
  int64_t lines_, of_step_, next_ = 0;
};

// 16 rows of activations over one super-block, rounded as quant_rows.h says.
struct AmxQuantRows {
  alignas(64) int8_t codes[kAmxQuantSteps][kAmxRows][kAmxBytes];
  float scales[kAmxRows];
  int16_t sums[kAmxRows][kSuperBlocks];  // of the codes of a block

  // Row i: `blocks` blocks from x on. The sums are for formats with minima.
  template <bool kSums, typename T>
  static void put(AmxQuantRows& to, int64_t i, const T* x, int64_t blocks, const QuantScale& by) {
    constexpr int64_t kOfStep = kAmxBytes / kQuantBlock;
    for (int64_t b = 0; b < blocks; ++b, x += kQuantBlock) {
      int8_t* codes = to.codes[b / kOfStep][i] + b % kOfStep * kQuantBlock;
      store_bytes(codes, quantise(x, by)), store_bytes(codes + kLanes, quantise(x + kLanes, by));
      if constexpr (kSums) {
        to.sums[i][b] = static_cast<int16_t>(sum_bytes(codes) + sum_bytes(codes + kLanes));
      }
    }
    to.scales[i] = by.scale;
  }
  // Where there is none.
  static void put_nothing(AmxQuantRows& to, int64_t i) {
    for (auto& step : to.codes) std::memset(step[i], 0, kAmxBytes);
    std::memset(to.sums[i], 0, sizeof(to.sums[i]));
    to.scales[i] = 0;
  }
};

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
