#include "ashlar/comm/reduction.h"

#include "tests/comm/case_data.h"

#include <gtest/gtest.h>

#include <limits>

namespace ashlar::comm {
namespace {

template <typename T>
std::vector<T> reduced(Reduce reduce, const std::vector<std::vector<T>>& terms) {
  std::vector<const std::byte*> pointers;
  for (const std::vector<T>& term : terms)
    pointers.push_back(reinterpret_cast<const std::byte*>(term.data()));
  std::vector<T> out(terms[0].size());
  reduce_in_order(DTypeOf<T>::value, reduce, pointers, reinterpret_cast<std::byte*>(out.data()),
                  static_cast<int64_t>(out.size()));
  return out;
}

TEST(Reduction, AddsInTheOrderGiven) {
  const std::vector<std::vector<float>> terms = {{1e8f}, {1.0f}, {-1e8f}, {1.0f}};
  EXPECT_EQ(reduced(Reduce::kSum, terms)[0], 1.0f);
  EXPECT_EQ(reduced<float>(Reduce::kSum, {terms[0], terms[2], terms[1], terms[3]})[0], 2.0f);
}

TEST(Reduction, BFloat16IsRoundedOnce) {
  // Each step alone would be rounded away: 256 + 1 is 256 in bf16.
  const std::vector<bf16> big = {to_bf16(256.0f)}, one = {to_bf16(1.0f)};
  const bf16 sum = reduced<bf16>(Reduce::kSum, {big, one, one, one, one})[0];
  EXPECT_EQ(to_float(sum), 260.0f);
}

TEST(Reduction, Float16IsRoundedOnce) {
  // 2048 + 1 is 2048 in f16.
  const std::vector<f16> big = {to_f16(2048.0f)}, one = {to_f16(1.0f)};
  EXPECT_EQ(to_float(reduced<f16>(Reduce::kSum, {big, one, one, one, one})[0]), 2052.0f);
}

TEST(Reduction, IntegersWrap) {
  constexpr int32_t kLargest = std::numeric_limits<int32_t>::max();
  EXPECT_EQ(reduced<int32_t>(Reduce::kSum, {{kLargest}, {1}})[0],
            std::numeric_limits<int32_t>::min());
}

TEST(Reduction, ANanWinsAMaximum) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(reduced<float>(Reduce::kMax, {{1.0f}, {nan}, {2.0f}})[0]));
  EXPECT_TRUE(std::isnan(reduced<float>(Reduce::kMax, {{nan}, {1.0f}})[0]));
  EXPECT_EQ(reduced<float>(Reduce::kMax, {{1.0f}, {3.0f}, {2.0f}})[0], 3.0f);
}

TEST(Reduction, LengthsAroundABlock) {
  for (const int64_t n : {0, 1, 1023, 1024, 1025, 3000}) {
    const std::vector<std::vector<double>> terms = {testing::data_of<double>(0, n),
                                                    testing::data_of<double>(1, n),
                                                    testing::data_of<double>(2, n)};
    testing::expect_bits("sum", reduced(Reduce::kSum, terms),
                         testing::serial_reduce(Reduce::kSum, terms));
  }
}

TEST(Reduction, MayWriteOverATerm) {
  std::vector<int64_t> a = {1, 2, 3}, b = {10, 20, 30};
  const std::vector<const std::byte*> terms = {reinterpret_cast<std::byte*>(a.data()),
                                               reinterpret_cast<std::byte*>(b.data())};
  reduce_in_order(DType::kI64, Reduce::kSum, terms, reinterpret_cast<std::byte*>(b.data()), 3);
  EXPECT_EQ(b, (std::vector<int64_t>{11, 22, 33}));
}

}  // namespace
}  // namespace ashlar::comm
