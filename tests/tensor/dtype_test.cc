#include "ashlar/tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <utility>

namespace ashlar {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// A 16-bit float's value from its definition: sign, exponent, mantissa.
double value_of(uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const auto mantissa = static_cast<double>(bits & ((1u << mantissa_bits) - 1));
  const int exponent = static_cast<int>((bits >> mantissa_bits) & ((1u << exponent_bits) - 1));
  const double sign = (bits & 0x8000u) != 0 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa == 0 ? sign * HUGE_VAL : std::nan("");
  }
  const double scale = std::ldexp(1.0, -mantissa_bits);
  if (exponent == 0) return sign * std::ldexp(mantissa * scale, 1 - bias);
  return sign * std::ldexp(1 + mantissa * scale, exponent - bias);
}

// Every code widens to its value and comes back as itself; between neighbours the nearer one is
// chosen, at the midpoint the even one. `T` is bf16 or f16.
template <typename T, T (*kNarrow)(float)>
void check_all_codes(int exponent_bits, int mantissa_bits) {
  const uint32_t inf = ((1u << exponent_bits) - 1) << mantissa_bits;
  for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const T code{static_cast<uint16_t>(bits)};
    const float value = to_float(code);
    if ((bits & 0x7fffu) > inf) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      ASSERT_TRUE(std::isnan(to_float(kNarrow(value)))) << bits;
      continue;
    }
    ASSERT_EQ(static_cast<double>(value), value_of(bits, exponent_bits, mantissa_bits)) << bits;
    ASSERT_EQ(std::signbit(value), (bits & 0x8000u) != 0) << bits;
    ASSERT_EQ(kNarrow(value).bits, bits);

    if ((bits & 0x7fffu) >= inf - 1) continue;  // infinity and the largest number: below
    const uint32_t above = bits + 1;            // the next code away from zero
    const double next = value_of(above, exponent_bits, mantissa_bits);
    const double middle = (static_cast<double>(value) + next) / 2;
    const auto tie = static_cast<float>(middle);
    ASSERT_EQ(static_cast<double>(tie), middle);  // a float can hold the midpoint
    const uint32_t even = bits % 2 == 0 ? bits : above;
    ASSERT_EQ(kNarrow(tie).bits, even) << bits;
    ASSERT_EQ(kNarrow(std::nextafter(tie, 0.0f)).bits, bits) << bits;
    ASSERT_EQ(kNarrow(std::nextafter(tie, std::copysign(kInf, value))).bits, above) << bits;
  }
}

TEST(DTypeTest, AllCodesAndTiesOfBf16) { check_all_codes<bf16, to_bf16>(8, 7); }
TEST(DTypeTest, AllCodesAndTiesOfF16) { check_all_codes<f16, to_f16>(5, 10); }

TEST(DTypeTest, OverflowRoundsToInfinity) {
  EXPECT_EQ(to_f16(65504.0f).bits, 0x7bffu);
  EXPECT_EQ(to_f16(std::nextafter(65520.0f, 0.0f)).bits, 0x7bffu);
  EXPECT_EQ(to_f16(65520.0f).bits, 0x7c00u);  // the midpoint to 65536, whose code would be even
  EXPECT_EQ(to_f16(-1e30f).bits, 0xfc00u);
  EXPECT_EQ(to_f16(kInf).bits, 0x7c00u);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x7f7f7fffu)).bits, 0x7f7fu);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x7f7f8000u)).bits, 0x7f80u);
  EXPECT_EQ(to_bf16(-std::numeric_limits<float>::max()).bits, 0xff80u);
}

TEST(DTypeTest, TinyNumbersRoundToZeroOfTheirSign) {
  EXPECT_EQ(to_f16(0x1.0p-25f).bits, 0u);  // half the smallest: the tie goes to zero
  EXPECT_EQ(to_f16(0x1.000002p-25f).bits, 1u);
  EXPECT_EQ(to_f16(-0x1.0p-26f).bits, 0x8000u);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x80000001u)).bits, 0x8000u);
}

TEST(DTypeTest, NansStayNans) {
  for (const uint32_t bits : {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0xffffffffu}) {
    const auto nan = std::bit_cast<float>(bits);
    EXPECT_TRUE(std::isnan(to_float(to_bf16(nan)))) << bits;
    EXPECT_TRUE(std::isnan(to_float(to_f16(nan)))) << bits;
    EXPECT_EQ(to_bf16(nan).bits >> 15, bits >> 31);
    EXPECT_EQ(to_f16(nan).bits >> 15, bits >> 31);
  }
  static_assert(to_float(bf16{0x3f80}) == 1.0f && to_bf16(1.0f).bits == 0x3f80);
}

TEST(DTypeTest, NamesAndSizes) {
  std::set<std::string> names;
  for (int i = 0; i <= static_cast<int>(DType::kBool); ++i) {
    const auto dtype = static_cast<DType>(i);
    const std::string text(name(dtype));
    EXPECT_TRUE(names.insert(text).second) << text;
    // The digits of the name are its bits.
    const size_t digit = text.find_first_of("0123456789");
    EXPECT_EQ(size_of(dtype), digit == std::string::npos ? 1 : std::stoi(text.substr(digit)) / 8);
    EXPECT_EQ(is_float(dtype), text.find('f') != std::string::npos) << text;
  }
  EXPECT_EQ(names.size(), 12u);
}

// GGUF's types: what a weight costs, in bits.
TEST(DTypeTest, BlocksAndTheirBytes) {
  const std::pair<DType, double> bits[] = {
      {DType::kQ4_0, 4.5}, {DType::kQ4_1, 5},    {DType::kQ5_0, 5.5},   {DType::kQ5_1, 6},
      {DType::kQ8_0, 8.5}, {DType::kIQ4NL, 4.5}, {DType::kQ2K, 2.625},  {DType::kQ3K, 3.4375},
      {DType::kQ4K, 4.5},  {DType::kQ5K, 5.5},   {DType::kQ6K, 6.5625}, {DType::kF16, 16}};
  for (const auto& [dtype, wanted] : bits) {
    EXPECT_EQ(static_cast<double>(bytes_of(dtype, 512)) * 8 / 512, wanted) << name(dtype);
    EXPECT_EQ(is_block(dtype), dtype != DType::kF16);
    EXPECT_FALSE(is_block(dtype) && is_float(dtype));
  }
  EXPECT_EQ(name(DType::kIQ4NL), "iq4_nl");
  EXPECT_EQ(name(DType::kQ6K), "q6_k");
  EXPECT_EQ(block_elements(DType::kQ2K), 256);
  EXPECT_EQ(block_elements(DType::kIQ4NL), 32);
}

}  // namespace
}  // namespace ashlar
