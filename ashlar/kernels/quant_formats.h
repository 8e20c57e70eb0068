// The packed layout of quantised weights: panels of 16 outputs side by side along r. A panel holds
// what the GGUF blocks of its outputs hold, interleaved word by word (4 codes of an output, then
// the next output's), so that a vector has 4 codes of each output.
//
// Every format is made of super-blocks of kQuantSuper elements of r (the last one of a row may have
// fewer), in which one scale stands before integer multipliers of the sub-blocks. For block b
// (kQuantBlock elements) and super-block s a format says:
//   codes(panel, b, phase, g)     elements 4g .. 4g+3, each a byte without sign
//   kNibbles                      codes have four bits
//   multiplier(panel, b, sub)     of the sub-block, an integer
//   scale(panel, s)               a weight is scale * multiplier * (code - kOffset)
//   minimum(panel, s), minimum_multiplier(panel, b)   where kHasMinimum: - minimum * multiplier
//   kShortSums                    the sum of a sub-block's products fits 16 bits
// phase = b % kPeriod decides which bits of the words are taken: a constant in a loop unrolled that
// often. The last panel is filled up with zeros.
#pragma once

#include "ashlar/kernels/quant_formats_k.h"

#include <cmath>
#include <cstring>

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// What GGUF's formats of 32 elements share. Their f16 scales become one f32 of a super-block and
// multipliers up to kMost, such that multiplier * (code - kOffset) fits 16 bits: the scale of a
// sub-block moves by half a step of the largest one's kMost at most. Packed: 16 scales, then blocks
// of kWords words of codes and 16 multipliers each.
template <int64_t kWords, int kMost>
struct ScaledBlocks {
  static constexpr int kPeriod = 1, kSubBlocks = 1;
  static constexpr bool kHasMinimum = false;
  static constexpr int64_t kElements = kQuantBlock, kSourceBytes = 2 + 4 * kWords;
  static constexpr int64_t kBlockBytes = kWords * kWordsBytes + 2 * kLanes;
  static constexpr int64_t kHeadBytes = 4 * kLanes;
  static constexpr int64_t kSuperBytes = kHeadBytes + kSuperBlocks * kBlockBytes;

  static constexpr int64_t panel_bytes(int64_t blocks) {
    return (blocks + kSuperBlocks - 1) / kSuperBlocks * kHeadBytes + blocks * kBlockBytes;
  }
  ASHLAR_INLINE const std::byte* at(const std::byte* panel, int64_t b) {
    return panel + b / kSuperBlocks * kSuperBytes + kHeadBytes + b % kSuperBlocks * kBlockBytes;
  }
  ASHLAR_INLINE Ints words(const std::byte* panel, int64_t b, int g) {
    return load_words(at(panel, b) + g * kWordsBytes);
  }
  ASHLAR_INLINE Ints multiplier(const std::byte* panel, int64_t b, int) {
    return load_shorts(reinterpret_cast<const int16_t*>(at(panel, b) + kWords * kWordsBytes));
  }
  ASHLAR_INLINE Vec scale(const std::byte* panel, int64_t s) {
    return load(reinterpret_cast<const float*>(panel + s * kSuperBytes));
  }
  ASHLAR_INLINE Vec minimum(const std::byte*, int64_t) { return zero(); }
  ASHLAR_INLINE Ints minimum_multiplier(const std::byte*, int64_t) { return ints(0); }

  // `count` blocks of one output become a super-block of its panel. flip: bits of each word of
  // codes that turn, so that they have no sign.
  static void pack_flipped(const std::byte* blocks, int64_t count, std::byte* super, int64_t output,
                           uint32_t flip) {
    float scales[kSuperBlocks], most = 0;
    bool finite = true;
    for (int64_t k = 0; k < count; ++k) {
      f16 d;
      std::memcpy(&d, blocks + k * kSourceBytes, sizeof(d));
      scales[k] = widen(d);
      finite = finite && std::isfinite(scales[k]);
      if (std::fabs(scales[k]) > most) most = std::fabs(scales[k]);
    }
    const float scale = finite ? most / kMost : __builtin_nanf("");
    std::memcpy(super + 4 * output, &scale, 4);
    for (int64_t k = 0; k < count; ++k) {
      const std::byte* from = blocks + k * kSourceBytes + 2;
      std::byte* to = super + kHeadBytes + k * kBlockBytes;
      for (int64_t g = 0; g < kWords; ++g) {
        uint32_t word;
        std::memcpy(&word, from + 4 * g, 4);
        word ^= flip;
        std::memcpy(to + g * kWordsBytes + 4 * output, &word, 4);
      }
      const auto multiplier =
          static_cast<int16_t>(finite && most > 0 ? std::nearbyint(scales[k] / scale) : 0.0f);
      std::memcpy(to + kWords * kWordsBytes + 2 * output, &multiplier, 2);
    }
  }
};

// f16 d, 32 x i8. Packed: codes + 128.
struct Q8_0 : ScaledBlocks<8, 255> {
  static constexpr bool kNibbles = false;
  static constexpr int kOffset = 128;
  static constexpr bool kShortSums = false;

  ASHLAR_INLINE Ints codes(const std::byte* panel, int64_t b, int, int g) {
    return words(panel, b, g);
  }
  static void pack(const std::byte* blocks, int64_t count, std::byte* super, int64_t output) {
    pack_flipped(blocks, count, super, output, 0x80808080u);
  }
};

// f16 d, 16 bytes: element j in the low half of byte j, element j + 16 in the high half.
struct Q4_0 : ScaledBlocks<4, 4095> {
  static constexpr bool kNibbles = true;
  static constexpr int kOffset = 8;
  static constexpr bool kShortSums = true;

  ASHLAR_INLINE Ints codes(const std::byte* panel, int64_t b, int, int g) {
    const Ints c = words(panel, b, g & 3);
    return g < 4 ? low_nibbles(c) : high_nibbles(c);
  }
  static void pack(const std::byte* blocks, int64_t count, std::byte* super, int64_t output) {
    pack_flipped(blocks, count, super, output, 0);
  }
};

// f(format), for the dtypes that multiplies() names.
template <typename F>
ASHLAR_INLINE auto with_format(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kQ4_0:
      return f(Q4_0{});
    case DType::kQ4K:
      return f(Q4_K{});
    case DType::kQ6K:
      return f(Q6_K{});
    default:
      return f(Q8_0{});
  }
}

// Whether the format subtracts minima, for which sums of activations are needed.
ASHLAR_INLINE bool has_minimum(DType dtype) {
  return with_format(dtype, []<typename F>(F) { return F::kHasMinimum; });
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
