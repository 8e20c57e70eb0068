// Element types. A dtype is a block of elements packed into a number of bytes: plain types have one
// element a block, quantised weight formats (GGUF's) have 32 or 256.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ashlar {

enum class DType : uint8_t {
  kF64,
  kF32,
  kBF16,
  kF16,
  kI64,
  kI32,
  kU32,
  kI16,
  kU16,
  kI8,
  kU8,
  kBool,
  kQ4_0,  // the block types; tensor/blocks.h has their layouts
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kIQ4NL,
  kQ2K,
  kQ3K,
  kQ4K,
  kQ5K,
  kQ6K
};

constexpr bool is_block(DType dtype) { return dtype >= DType::kQ4_0; }

// Elements of one block; the rows of a tensor are whole blocks.
constexpr int64_t block_elements(DType dtype) {
  return !is_block(dtype) ? 1 : dtype < DType::kQ2K ? 32 : 256;
}

// Bytes of one block: of one element, where the type is plain.
constexpr int64_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
    case DType::kU32:
      return 4;
    case DType::kBF16:
    case DType::kF16:
    case DType::kI16:
    case DType::kU16:
      return 2;
    case DType::kQ4_0:
    case DType::kIQ4NL:
      return 18;
    case DType::kQ4_1:
      return 20;
    case DType::kQ5_0:
      return 22;
    case DType::kQ5_1:
      return 24;
    case DType::kQ8_0:
      return 34;
    case DType::kQ2K:
      return 84;
    case DType::kQ3K:
      return 110;
    case DType::kQ4K:
      return 144;
    case DType::kQ5K:
      return 176;
    case DType::kQ6K:
      return 210;
    default:
      return 1;
  }
}

// Bytes of a number of elements that fill whole blocks.
constexpr int64_t bytes_of(DType dtype, int64_t elements) {
  return elements / block_elements(dtype) * size_of(dtype);
}

constexpr std::string_view name(DType dtype) {
  constexpr std::string_view names[] = {"f64",  "f32",  "bf16", "f16",  "i64",  "i32",
                                        "u32",  "i16",  "u16",  "i8",   "u8",   "bool",
                                        "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl",
                                        "q2_k", "q3_k", "q4_k", "q5_k", "q6_k"};
  return names[static_cast<int>(dtype)];
}

constexpr bool is_float(DType dtype) { return dtype <= DType::kF16; }

// bfloat16: the upper half of a float. Conversion rounds to nearest even; a NaN stays a NaN.
struct bf16 {
  uint16_t bits;
};
constexpr float to_float(bf16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16);
}
constexpr bf16 to_bf16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((u >> 16) | 0x40u)};
  return {static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

// IEEE half precision, in software: exact for all 65,536 codes, round to nearest even.
struct f16 {
  uint16_t bits;
};
constexpr float to_float(f16 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t exponent = (x.bits >> 10) & 0x1fu;
  uint32_t mantissa = x.bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0)
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  // Subnormal: mantissa * 2^-24, exact in float.
  const float magnitude = static_cast<float>(mantissa) * 0x1.0p-24f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
}
constexpr f16 to_f16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  const uint32_t sign = (u >> 16) & 0x8000u;
  const uint32_t magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u)};   // NaN
  if (magnitude >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // overflow
  if (magnitude < 0x38800000u) {
    // Below 2^-14: adding 0.5 makes the float unit round to a multiple of 2^-24 for us.
    const float rounded = std::bit_cast<float>(magnitude) + 0.5f;
    const uint32_t steps = std::bit_cast<uint32_t>(rounded) - std::bit_cast<uint32_t>(0.5f);
    return {static_cast<uint16_t>(sign | steps)};
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return {static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13))};
}

}  // namespace ashlar
