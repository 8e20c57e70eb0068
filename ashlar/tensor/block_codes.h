// One code or scale of a block at a time: the bit layouts of blocks.h as functions. code() is the
// integer that a weight's scale multiplies (the offset of the format already taken off);
// set_code() takes it back and wants a block whose codes are zero.
#pragma once

#include "ashlar/tensor/blocks.h"

namespace ashlar {

constexpr void add_bits(uint8_t& byte, int bits, int shift) {
  byte = static_cast<uint8_t>(byte | (bits << shift));
}

template <typename Block>
constexpr int kElements = sizeof(Block) > sizeof(BlockQ8_0) ? kLargeBlock : kSmallBlock;

// Bits of weight i in a block of 32.
constexpr int low_half(const uint8_t* qs, int i) { return i < 16 ? qs[i] & 15 : qs[i - 16] >> 4; }
constexpr void set_half(uint8_t* qs, int i, int bits) { add_bits(qs[i % 16], bits, i / 16 * 4); }
constexpr int bit_of(const uint8_t* bits, int i) { return bits[i / 8] >> i % 8 & 1; }

constexpr int code(const BlockQ4_0& b, int i) { return low_half(b.qs, i) - 8; }
constexpr void set_code(BlockQ4_0& b, int i, int code) { set_half(b.qs, i, code + 8); }

constexpr int code(const BlockQ4_1& b, int i) { return low_half(b.qs, i); }
constexpr void set_code(BlockQ4_1& b, int i, int code) { set_half(b.qs, i, code); }

constexpr int code(const BlockQ5_0& b, int i) {
  return (low_half(b.qs, i) | bit_of(b.qh, i) << 4) - 16;
}
constexpr void set_code(BlockQ5_0& b, int i, int code) {
  set_half(b.qs, i, (code + 16) & 15);
  add_bits(b.qh[i / 8], (code + 16) >> 4, i % 8);
}

constexpr int code(const BlockQ5_1& b, int i) { return low_half(b.qs, i) | bit_of(b.qh, i) << 4; }
constexpr void set_code(BlockQ5_1& b, int i, int code) {
  set_half(b.qs, i, code & 15);
  add_bits(b.qh[i / 8], code >> 4, i % 8);
}

constexpr int code(const BlockQ8_0& b, int i) { return b.qs[i]; }
constexpr void set_code(BlockQ8_0& b, int i, int code) { b.qs[i] = static_cast<int8_t>(code); }

// The level, not its number; set_code takes the number.
constexpr int code(const BlockIQ4NL& b, int i) { return kIQ4Levels[low_half(b.qs, i)]; }
constexpr void set_code(BlockIQ4NL& b, int i, int number) { set_half(b.qs, i, number); }

// Weights that share a scale, in a block of 256.
template <typename Block>
constexpr int kGroup = 16;
template <>
inline constexpr int kGroup<BlockQ4K> = 32;
template <>
inline constexpr int kGroup<BlockQ5K> = 32;

// Two bits of weight 128 h + 32 s + l: byte 32 h + l, bits 2s and 2s + 1.
constexpr int two_bits(const uint8_t* qs, int i) {
  return qs[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
}
constexpr void set_two_bits(uint8_t* qs, int i, int bits) {
  add_bits(qs[i / 128 * 32 + i % 32], bits, i % 128 / 32 * 2);
}

constexpr int code(const BlockQ2K& b, int i) { return two_bits(b.qs, i); }
constexpr void set_code(BlockQ2K& b, int i, int code) { set_two_bits(b.qs, i, code); }
constexpr int scale(const BlockQ2K& b, int group) { return b.scales[group] & 15; }
constexpr int min(const BlockQ2K& b, int group) { return b.scales[group] >> 4; }
constexpr void set_scale(BlockQ2K& b, int group, int scale, int min) {
  b.scales[group] = static_cast<uint8_t>(scale | min << 4);
}

constexpr int code(const BlockQ3K& b, int i) {
  return two_bits(b.qs, i) + (b.hmask[i % 32] >> i / 32 & 1) * 4 - 4;
}
constexpr void set_code(BlockQ3K& b, int i, int code) {
  set_two_bits(b.qs, i, (code + 4) & 3);
  add_bits(b.hmask[i % 32], (code + 4) >> 2, i / 32);
}
constexpr int scale(const BlockQ3K& b, int group) {
  const int low = b.scales[group % 8] >> group / 8 * 4 & 15;
  const int high = b.scales[8 + group % 4] >> group / 4 * 2 & 3;
  return (low | high << 4) - 32;
}
constexpr void set_scale(BlockQ3K& b, int group, int scale) {
  add_bits(b.scales[group % 8], (scale + 32) & 15, group / 8 * 4);
  add_bits(b.scales[8 + group % 4], (scale + 32) >> 4, group / 4 * 2);
}

// The scales and mins that Q4_K and Q5_K share.
constexpr int scale_of_12(const uint8_t* scales, int group) {
  if (group < 4) return scales[group] & 63;
  return (scales[group + 4] & 15) | scales[group - 4] >> 6 << 4;
}
constexpr int min_of_12(const uint8_t* scales, int group) {
  if (group < 4) return scales[group + 4] & 63;
  return scales[group + 4] >> 4 | scales[group] >> 6 << 4;
}
constexpr void set_scale_of_12(uint8_t* scales, int group, int scale, int min) {
  if (group < 4) {
    add_bits(scales[group], scale, 0);
    add_bits(scales[group + 4], min, 0);
  } else {
    scales[group + 4] = static_cast<uint8_t>((scale & 15) | (min & 15) << 4);
    add_bits(scales[group - 4], scale >> 4, 6);
    add_bits(scales[group], min >> 4, 6);
  }
}

// Four bits of weight 64 c + 32 s + l: byte 32 c + l, half s.
constexpr int four_bits(const uint8_t* qs, int i) {
  return qs[i / 64 * 32 + i % 32] >> i % 64 / 32 * 4 & 15;
}
constexpr void set_four_bits(uint8_t* qs, int i, int bits) {
  add_bits(qs[i / 64 * 32 + i % 32], bits, i % 64 / 32 * 4);
}

constexpr int code(const BlockQ4K& b, int i) { return four_bits(b.qs, i); }
constexpr void set_code(BlockQ4K& b, int i, int code) { set_four_bits(b.qs, i, code); }
constexpr int scale(const BlockQ4K& b, int group) { return scale_of_12(b.scales, group); }
constexpr int min(const BlockQ4K& b, int group) { return min_of_12(b.scales, group); }
constexpr void set_scale(BlockQ4K& b, int group, int scale, int min) {
  set_scale_of_12(b.scales, group, scale, min);
}

constexpr int code(const BlockQ5K& b, int i) {
  return four_bits(b.qs, i) | (b.qh[i % 32] >> i / 32 & 1) << 4;
}
constexpr void set_code(BlockQ5K& b, int i, int code) {
  set_four_bits(b.qs, i, code & 15);
  add_bits(b.qh[i % 32], code >> 4, i / 32);
}
constexpr int scale(const BlockQ5K& b, int group) { return scale_of_12(b.scales, group); }
constexpr int min(const BlockQ5K& b, int group) { return min_of_12(b.scales, group); }
constexpr void set_scale(BlockQ5K& b, int group, int scale, int min) {
  set_scale_of_12(b.scales, group, scale, min);
}

constexpr int code(const BlockQ6K& b, int i) {
  const int low = b.ql[i / 128 * 64 + i % 64] >> i % 128 / 64 * 4 & 15;
  return (low | two_bits(b.qh, i) << 4) - 32;
}
constexpr void set_code(BlockQ6K& b, int i, int code) {
  add_bits(b.ql[i / 128 * 64 + i % 64], (code + 32) & 15, i % 128 / 64 * 4);
  set_two_bits(b.qh, i, (code + 32) >> 4);
}
constexpr int scale(const BlockQ6K& b, int group) { return b.scales[group]; }
constexpr void set_scale(BlockQ6K& b, int group, int scale) {
  b.scales[group] = static_cast<int8_t>(scale);
}

}  // namespace ashlar
