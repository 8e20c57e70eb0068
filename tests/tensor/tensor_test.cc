#include "ashlar/tensor/tensor.h"

#include "ashlar/base/error.h"
#include "tests/base/messages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace ashlar {
namespace {

using ashlar::testing::error_of;

Tensor counting(Shape shape) {
  Tensor tensor(DType::kF32, shape);
  std::iota(tensor.span<float>().begin(), tensor.span<float>().end(), 0.0f);
  return tensor;
}

TEST(TensorTest, StartsZeroedAndAligned) {
  for (const int64_t elements : {0, 1, 7, 64, 1001}) {
    const Tensor tensor(DType::kF32, {elements});
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data()) % 64, 0u);
    EXPECT_EQ(tensor.bytes(), static_cast<size_t>(elements) * 4);
    EXPECT_FALSE(tensor.empty());
    for (const float value : tensor.span<float>()) ASSERT_EQ(value, 0.0f);
  }
  EXPECT_TRUE(Tensor().empty());
}

TEST(TensorTest, CopiesAndViewsShareStorage) {
  Tensor tensor = counting({4, 3});
  Tensor copy = tensor;
  Tensor rows = tensor.rows(1, 3);
  EXPECT_EQ(rows.shape(), Shape({2, 3}));
  EXPECT_EQ(rows.as<float>()[0], 3.0f);
  rows.as<float>()[0] = 99.0f;
  EXPECT_EQ(copy.as<float>()[3], 99.0f);
  EXPECT_EQ(tensor.reshaped({2, 6}).data(), tensor.data());
  EXPECT_EQ(tensor.rows(4, 4).elements(), 0);
}

TEST(TensorTest, AViewKeepsItsOwnerAlive) {
  auto owner = std::make_shared<std::vector<float>>(4, 2.5f);
  const std::weak_ptr<std::vector<float>> watch = owner;
  Tensor view;
  {
    const Tensor whole(DType::kF32, {4}, reinterpret_cast<std::byte*>(owner->data()), owner);
    view = whole.rows(1, 2);
  }
  owner.reset();
  EXPECT_EQ(view.as<float>()[0], 2.5f);
  view = {};
  EXPECT_TRUE(watch.expired());
}

TEST(TensorTest, RowsAndReshapesThatDoNotFit) {
  const Tensor tensor = counting({4, 3});
  EXPECT_EQ(error_of([&] { tensor.rows(1, 5); }), "tensor rows: [1, 5) is not inside [4, 3]");
  EXPECT_EQ(error_of([&] { tensor.rows(-1, 2); }), "tensor rows: [-1, 2) is not inside [4, 3]");
  EXPECT_EQ(error_of([&] { tensor.rows(3, 2); }), "tensor rows: [3, 2) is not inside [4, 3]");
  EXPECT_EQ(error_of([&] { tensor.reshaped({}).rows(0, 1); }),
            "tensor reshape: [] does not hold the elements of [4, 3]");
  EXPECT_EQ(error_of([&] { tensor.reshaped({12}).transposed(); }),
            "tensor transpose: [12] is not a matrix");
}

TEST(TensorTest, Transposes) {
  for (const DType dtype : {DType::kF64, DType::kF32, DType::kBF16}) {
    const Tensor tensor = counting({7, 5}).to(dtype);
    const Tensor turned = tensor.transposed();
    EXPECT_EQ(turned.shape(), Shape({5, 7}));
    const Tensor values = turned.to(DType::kF32);
    for (int r = 0; r < 5; ++r) {
      for (int c = 0; c < 7; ++c) {
        ASSERT_EQ(values.as<float>()[r * 7 + c], static_cast<float>(c * 5 + r));
      }
    }
  }
}

TEST(TensorTest, ConvertsBetweenFloatTypes) {
  const std::vector<double> exact = {0, -0.0, 1, -2.5, 0.15625, 1024, HUGE_VAL, -HUGE_VAL};
  const DType types[] = {DType::kF64, DType::kF32, DType::kBF16, DType::kF16};
  Tensor source(DType::kF64, {static_cast<int64_t>(exact.size())});
  std::ranges::copy(exact, source.as<double>());
  for (const DType from : types) {
    for (const DType to : types) {
      const Tensor there = source.to(from).to(to).to(DType::kF64);
      for (size_t i = 0; i < exact.size(); ++i) {
        EXPECT_EQ(there.as<double>()[i], exact[i]) << name(from) << " to " << name(to);
        EXPECT_EQ(std::signbit(there.as<double>()[i]), std::signbit(exact[i]));
      }
    }
  }
  EXPECT_EQ(error_of([] { Tensor(DType::kI32, {1}).to(DType::kF32); }),
            "convert: dtype i32 is not a float type");
  EXPECT_EQ(Tensor(DType::kI32, {3}).to(DType::kI32).elements(), 3);
}

// The nearest of the two neighbours in f64, ties to even: what one rounding gives.
template <typename T>
T nearest_code(double x) {
  uint32_t best = 0;
  for (uint32_t bits = 0; bits < 0x7c00u; ++bits) {
    const T code{static_cast<uint16_t>(bits)}, so_far{static_cast<uint16_t>(best)};
    const double here = std::abs(static_cast<double>(to_float(code)) - x);
    const double there = std::abs(static_cast<double>(to_float(so_far)) - x);
    if (here < there || (here == there && bits % 2 == 0)) best = bits;
  }
  return {static_cast<uint16_t>(best)};
}

// f64 through f32 would round twice: a little off a midpoint of the narrow type is no tie.
TEST(TensorTest, F64RoundsOnce) {
  const double middle_f16 = 1 + 0x1.0p-11, middle_bf16 = 1 + 0x1.0p-8;
  for (const double off : {0x1.0p-40, -0x1.0p-40, 0x1.0p-52, 0.0}) {
    for (const double middle : {middle_f16, middle_bf16, middle_f16 + 0x1.0p-10}) {
      Tensor source(DType::kF64, {1});
      source.as<double>()[0] = middle + off;
      EXPECT_EQ(source.to(DType::kF16).as<f16>()->bits, nearest_code<f16>(middle + off).bits);
      EXPECT_EQ(source.to(DType::kBF16).as<bf16>()->bits, nearest_code<bf16>(middle + off).bits);
    }
  }
  Tensor limits(DType::kF64, {4});
  const double values[] = {1e300, -1e300, 1e-300, std::nan("")};
  std::ranges::copy(values, limits.as<double>());
  const Tensor narrow = limits.to(DType::kBF16);
  EXPECT_EQ(narrow.as<bf16>()[0].bits, 0x7f80u);
  EXPECT_EQ(narrow.as<bf16>()[1].bits, 0xff80u);
  EXPECT_EQ(narrow.as<bf16>()[2].bits, 0u);
  EXPECT_TRUE(std::isnan(to_float(narrow.as<bf16>()[3])));
}

}  // namespace
}  // namespace ashlar
