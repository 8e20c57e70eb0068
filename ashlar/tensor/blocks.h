// The block types of GGUF, as they lie in a file: little-endian, packed, 32 or 256 weights each.
// d is a block's scale, m or dmin its offset; a weight is what the comment above the block says.
// block_codes.h reads and writes single codes and scales, quantize.h converts.
#pragma once

#include "ashlar/tensor/dtype.h"

#include <cstdint>

namespace ashlar {

constexpr int kSmallBlock = 32;
constexpr int kLargeBlock = 256;

// In the blocks of 32, byte i of qs has the low 4 bits of weight i in its low half and those of
// weight i + 16 in its high half. Bit i of qh, taken as one little-endian number, is the fifth bit
// of weight i.

// weight = d (code - 8)
struct BlockQ4_0 {
  f16 d;
  uint8_t qs[16];
};

// weight = d code + m
struct BlockQ4_1 {
  f16 d, m;
  uint8_t qs[16];
};

// weight = d (code - 16)
struct BlockQ5_0 {
  f16 d;
  uint8_t qh[4];
  uint8_t qs[16];
};

// weight = d code + m
struct BlockQ5_1 {
  f16 d, m;
  uint8_t qh[4];
  uint8_t qs[16];
};

// weight = d code
struct BlockQ8_0 {
  f16 d;
  int8_t qs[32];
};

// weight = d kIQ4Levels[code]: 16 levels that lie closer together near zero
struct BlockIQ4NL {
  f16 d;
  uint8_t qs[16];
};
constexpr int8_t kIQ4Levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};

// The blocks of 256 are cut into groups of 16 (Q2_K, Q3_K, Q6_K) or 32 (Q4_K, Q5_K) weights, each
// with a small integer scale and perhaps an integer offset.

// weight = d scale code - dmin min. Byte g of scales: scale in the low half, min in the high half.
// Two bits each: weight 128 h + 32 s + l is bits 2s, 2s + 1 of qs[32 h + l].
struct BlockQ2K {
  uint8_t scales[16];
  uint8_t qs[64];
  f16 d, dmin;
};

// weight = d (scale - 32) (code - 4). qs as in Q2_K; the third bit of weight 32 s + l is bit s of
// hmask[l]. Scales of 6 bits: the low 4 of group g are the low (g < 8) or high half of
// scales[g % 8], the upper 2 are bits 2 (g / 4) and the next of scales[8 + g % 4].
struct BlockQ3K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  f16 d;
};

// weight = d scale code - dmin min. Weight 64 c + l is the low half of qs[32 c + l], weight
// 64 c + 32 + l the high half. Eight scales and mins of 6 bits: for g < 4 the low 6 bits of
// scales[g] and scales[g + 4]; for g >= 4 the halves of scales[g + 4] (scale low, min high) with
// the upper 2 bits of scales[g - 4] (scale) and scales[g] (min) above them.
struct BlockQ4K {
  f16 d, dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};

// As Q4_K; the fifth bit of weight 32 s + l is bit s of qh[l].
struct BlockQ5K {
  f16 d, dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};

// weight = d scale (code - 32). The low 4 bits of weight 128 h + 64 s + l are the low (s = 0) or
// high half of ql[64 h + l]; the upper 2 of weight 128 h + 32 s + l are bits 2s, 2s + 1 of
// qh[32 h + l].
struct BlockQ6K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  f16 d;
};

static_assert(sizeof(BlockQ4_0) == size_of(DType::kQ4_0));
static_assert(sizeof(BlockQ4_1) == size_of(DType::kQ4_1));
static_assert(sizeof(BlockQ5_0) == size_of(DType::kQ5_0));
static_assert(sizeof(BlockQ5_1) == size_of(DType::kQ5_1));
static_assert(sizeof(BlockQ8_0) == size_of(DType::kQ8_0));
static_assert(sizeof(BlockIQ4NL) == size_of(DType::kIQ4NL));
static_assert(sizeof(BlockQ2K) == size_of(DType::kQ2K));
static_assert(sizeof(BlockQ3K) == size_of(DType::kQ3K));
static_assert(sizeof(BlockQ4K) == size_of(DType::kQ4K));
static_assert(sizeof(BlockQ5K) == size_of(DType::kQ5K));
static_assert(sizeof(BlockQ6K) == size_of(DType::kQ6K));

}  // namespace ashlar
