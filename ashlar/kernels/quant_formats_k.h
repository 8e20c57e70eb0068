// GGUF's K formats in panels, as quant_formats.h describes them: their super-blocks and multipliers
// are GGUF's own.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/quant_pack.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

inline constexpr int64_t kBlockWords = kQuantBlock / 4;
inline constexpr int64_t kSuperBlocks = kQuantSuper / kQuantBlock;

ASHLAR_INLINE Vec load_halves(const std::byte* p) { return load(reinterpret_cast<const f16*>(p)); }

// What they share: whole super-blocks, each of `bytes` of an output.
template <int64_t bytes>
struct SuperBlocks {
  static constexpr int64_t kElements = kQuantSuper, kSuperBytes = kLanes * bytes;
  static constexpr int64_t kBlockBytes = kSuperBytes / kSuperBlocks;

  ASHLAR_INLINE const std::byte* at(const std::byte* panel, int64_t b) {
    return panel + b / kSuperBlocks * kSuperBytes;
  }
  static constexpr int64_t panel_bytes(int64_t blocks) {
    return blocks / kSuperBlocks * kSuperBytes;
  }
};

// Eight blocks of 32: f16 d, f16 dmin, a 6-bit scale and minimum a block in 12 bytes, 128 bytes:
// element j of blocks 2i and 2i + 1 in the halves of byte 32 i + j. Packed: 32 words, 16 x d, 16 x
// dmin, then a byte a scale and a minimum, 16 of each block.
struct Q4_K : SuperBlocks<148> {
  static constexpr int kPeriod = 2;
  static constexpr bool kNibbles = true;
  static constexpr int kSubBlocks = 1, kOffset = 0;
  static constexpr bool kHasMinimum = true, kShortSums = false;
  static constexpr int64_t kSourceBytes = 144;
  static constexpr int64_t kD = 32 * kWordsBytes, kScales = kD + 64, kMinima = kScales + 128;

  ASHLAR_INLINE Ints codes(const std::byte* panel, int64_t b, int phase, int g) {
    const Ints words = load_words(at(panel, b) + (b % 8 / 2 * kBlockWords + g) * kWordsBytes);
    return phase == 0 ? low_nibbles(words) : high_nibbles(words);
  }
  ASHLAR_INLINE Ints six_bits(const std::byte* p, int64_t b) {
    return load_bytes(reinterpret_cast<const uint8_t*>(p) + b % 8 * kLanes);
  }
  ASHLAR_INLINE Ints multiplier(const std::byte* panel, int64_t b, int) {
    return six_bits(at(panel, b) + kScales, b);
  }
  ASHLAR_INLINE Vec scale(const std::byte* panel, int64_t s) {
    return load_halves(panel + s * kSuperBytes + kD);
  }
  ASHLAR_INLINE Ints minimum_multiplier(const std::byte* panel, int64_t b) {
    return six_bits(at(panel, b) + kMinima, b);
  }
  ASHLAR_INLINE Vec minimum(const std::byte* panel, int64_t s) {
    return load_halves(panel + s * kSuperBytes + kD + 32);
  }
  static void pack(const OutputBlocks& from, std::byte* panel) {
    CodeWords<kSourceBytes / 4> words;
    for (int64_t i = 0; i < from.outputs; ++i) {
      from.fetch_ahead(i, kSourceBytes);
      words.put(i, 0, from.at(i), kSourceBytes);
    }
    // d and dmin, then the twelve bytes.
    Ints head[4];
    words.interleave([&](int64_t g, Ints w) {
      if (g < 4) {
        head[g] = w;
      } else {
        store_words(panel + (g - 4) * kWordsBytes, w);
      }
    });
    store_low<int16_t>(panel + kD, head[0]),
        store_low<int16_t>(panel + kD + 32, shift_right<16>(head[0]));
    // Blocks 0-3: the low 6 bits of bytes j and j + 4. Blocks 4-7: 4 bits in byte j + 4, the upper
    // 2 above those of block j - 4.
    for (int64_t j = 0; j < 4; ++j) {
      const Ints low = ints(63), upper = ints(0x30), half = ints(15);
      store_low<int8_t>(panel + kScales + j * kLanes, head[1] & low);
      store_low<int8_t>(panel + kMinima + j * kLanes, head[2] & low);
      store_low<int8_t>(panel + kScales + (j + 4) * kLanes,
                        (head[3] & half) | (shift_right<2>(head[1]) & upper));
      store_low<int8_t>(panel + kMinima + (j + 4) * kLanes,
                        (shift_right<4>(head[3]) & half) | (shift_right<2>(head[2]) & upper));
      for (Ints& w : head) w = shift_right<8>(w);
    }
  }
};

// Two halves of 128 elements, each 64 bytes of low and 32 of high bits: block j of a half has its
// low 4 bits in half j / 2 of the bytes 32 (j % 2) + l, its high 2 in bits 2j of byte l. Then i8 a
// sub-block of 16, f16 d. Packed: 32 words of low bits, 16 of high ones, 16 x d, 16 scales of each
// sub-block.
struct Q6_K : SuperBlocks<210> {
  static constexpr int kPeriod = 4;
  static constexpr bool kNibbles = false;
  static constexpr int kSubBlocks = 2, kOffset = 32;
  static constexpr bool kHasMinimum = false, kShortSums = false;
  static constexpr int64_t kSourceBytes = 210;
  static constexpr int64_t kHigh = 32 * kWordsBytes, kD = kHigh + 16 * kWordsBytes;
  static constexpr int64_t kScales = kD + 32;

  ASHLAR_INLINE Ints low(const std::byte* panel, int64_t b, int phase, int g) {
    const int64_t half = b % 8 / 4;
    const Ints words =
        load_words(at(panel, b) + (half * 16 + phase % 2 * kBlockWords + g) * kWordsBytes);
    return phase < 2 ? low_nibbles(words) : high_nibbles(words);
  }
  ASHLAR_INLINE Ints high(const std::byte* panel, int64_t b, int phase, int g) {
    const int64_t half = b % 8 / 4;
    const Ints words = load_words(at(panel, b) + kHigh + (half * kBlockWords + g) * kWordsBytes);
    const Ints shifted = phase == 0   ? words
                         : phase == 1 ? shift_right<2>(words)
                         : phase == 2 ? shift_right<4>(words)
                                      : shift_right<6>(words);
    return shifted & ints(0x03030303);
  }
  ASHLAR_INLINE Ints codes(const std::byte* panel, int64_t b, int phase, int g) {
    return low(panel, b, phase, g) | shift_left<4>(high(panel, b, phase, g));
  }
  ASHLAR_INLINE Ints multiplier(const std::byte* panel, int64_t b, int sub) {
    const auto* scales = reinterpret_cast<const int8_t*>(at(panel, b) + kScales);
    return load_bytes(scales + (b % 8 * 2 + sub) * kLanes);
  }
  ASHLAR_INLINE Vec scale(const std::byte* panel, int64_t s) {
    return load_halves(panel + s * kSuperBytes + kD);
  }
  ASHLAR_INLINE Vec minimum(const std::byte*, int64_t) { return zero(); }
  ASHLAR_INLINE Ints minimum_multiplier(const std::byte*, int64_t) { return ints(0); }
  static void pack(const OutputBlocks& from, std::byte* panel) {
    CodeWords<52> words;  // ql, qh, then the sub-blocks' scales
    alignas(64) uint16_t d[kLanes] = {};
    for (int64_t i = 0; i < from.outputs; ++i) {
      from.fetch_ahead(i, kSourceBytes);
      words.put(i, 0, from.at(i), 208);
      std::memcpy(d + i, from.at(i) + 208, 2);
    }
    std::memcpy(panel + kD, d, sizeof(d));
    words.interleave([&](int64_t g, Ints w) {
      if (g < 48) return store_words(panel + g * kWordsBytes, w);
      for (int64_t j = 0; j < 4; ++j, w = shift_right<8>(w)) {
        store_low<int8_t>(panel + kScales + ((g - 48) * 4 + j) * kLanes, w & ints(255));
      }
    });
  }
};

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
