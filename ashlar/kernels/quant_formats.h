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
// often. pack(blocks, super) makes a super-block of a panel. The last panel is filled up with
// outputs of weight zero.
#pragma once

#include "ashlar/kernels/extent.h"
#include "ashlar/kernels/quant_formats_k.h"

#include <cstring>
#include <limits>

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

  // flip: bits of each word of codes that turn, so that they have no sign.
  static void pack_flipped(const OutputBlocks& from, std::byte* super, uint32_t flip) {
    CodeWords<kSuperBlocks * kWords> words;
    alignas(64) f16 d[kSuperBlocks][kLanes] = {};
    for (int64_t i = 0; i < from.outputs; ++i) {
      from.fetch_ahead(i, from.blocks * kSourceBytes);
      const std::byte* block = from.at(i);
      for (int64_t k = 0; k < from.blocks; ++k, block += kSourceBytes) {
        std::memcpy(&d[k][i], block, sizeof(f16));
        words.put(i, k * kWords, block + 2, 4 * kWords);
      }
    }
    words.interleave([&](int64_t at, Ints w) {
      const int64_t k = at / kWords, g = at % kWords;
      if (k < from.blocks) {
        store_words(super + kHeadBytes + k * kBlockBytes + g * kWordsBytes,
                    w ^ ints(static_cast<int32_t>(flip)));
      }
    });
    put_scales(d, from.blocks, super);
  }
  static void put_scales(const f16 (&d)[kSuperBlocks][kLanes], int64_t blocks, std::byte* super) {
    Vec most = zero();
    Mask finite = equal(most, most);
    for (int64_t k = 0; k < blocks; ++k) {
      const Vec magnitude = abs(load(d[k]));
      finite = finite & less_equal(magnitude, broadcast(std::numeric_limits<float>::max()));
      most = max(magnitude, most);
    }
    const Vec scale = select(finite, most / broadcast(kMost), broadcast(__builtin_nanf("")));
    const Mask scaled = finite & greater(most, zero());
    store(reinterpret_cast<float*>(super), scale);
    for (int64_t k = 0; k < blocks; ++k) {
      const Vec multiplier = select(scaled, round(load(d[k]) / scale), zero());
      store_low<int16_t>(super + kHeadBytes + k * kBlockBytes + kWords * kWordsBytes,
                         to_ints(multiplier));
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
  static void pack(const OutputBlocks& from, std::byte* super) {
    pack_flipped(from, super, 0x80808080u);
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
  static void pack(const OutputBlocks& from, std::byte* super) { pack_flipped(from, super, 0); }
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

// Panels `first` to first + count of a weight [n, r], made from its blocks: just blocks of
// kQuantBlock elements [begin, end) along r, whole super-blocks but for the last one of a row.
// Panels go to `to`, `stride` bytes apart.
template <typename F>
void pack_panels(const std::byte* blocks, int64_t r, int64_t n, int64_t first, int64_t count,
                 int64_t begin, int64_t end, std::byte* to, int64_t stride) {
  const int64_t row_bytes = r / F::kElements * F::kSourceBytes;
  constexpr int64_t kOfBlock = F::kElements / kQuantBlock;
  constexpr int64_t kSourceSuper = kSuperBlocks / kOfBlock * F::kSourceBytes;
  for (int64_t panel = first; panel < first + count; ++panel, to += stride) {
    const int64_t n0 = panel * kLanes;
    std::byte* super = to;
    for (int64_t b = begin; b < end; b += kSuperBlocks, super += F::kSuperBytes) {
      const int64_t taken = (lesser(end, b + kSuperBlocks) - b) / kOfBlock;
      const int64_t at = b / kOfBlock * F::kSourceBytes;
      // The row's next super-block, or the first one of the next panel's.
      const int64_t ahead = at + kSourceSuper < row_bytes ? kSourceSuper : kLanes * row_bytes - at;
      F::pack({blocks + n0 * row_bytes + at, row_bytes, lesser(kLanes, n - n0), taken, ahead},
              super);
    }
  }
}

// Whether the format subtracts minima, for which sums of activations are needed.
ASHLAR_INLINE bool has_minimum(DType dtype) {
  return with_format(dtype, []<typename F>(F) { return F::kHasMinimum; });
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
