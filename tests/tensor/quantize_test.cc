#include "ashlar/tensor/quantize.h"

#include "ashlar/base/error.h"
#include "ashlar/base/json.h"
#include "ashlar/tensor/tensor.h"
#include "tests/base/messages.h"
#include "tests/base/paths.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

namespace ashlar {
namespace {

using ashlar::testing::error_of;

constexpr DType kFirstBlock = DType::kQ4_0, kLastBlock = DType::kQ6K;

std::vector<DType> block_types() {
  std::vector<DType> types;
  for (int i = static_cast<int>(kFirstBlock); i <= static_cast<int>(kLastBlock); ++i) {
    types.push_back(static_cast<DType>(i));
  }
  return types;
}

std::vector<uint8_t> bytes_of_hex(const std::string& hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::vector<float> floats_of_hex(const std::string& hex) {
  const std::vector<uint8_t> bytes = bytes_of_hex(hex);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

nlohmann::json goldens() { return read_json<nlohmann::json>(test_data("blocks.json")); }

TEST(QuantizeTest, WeightsOfRandomBlocksAreThoseOfGguf) {
  const nlohmann::json golden = goldens()["dequantized"];
  for (const DType dtype : block_types()) {
    SCOPED_TRACE(name(dtype));
    const nlohmann::json& entry = golden.at(std::string(name(dtype)));
    const std::vector<uint8_t> blocks = bytes_of_hex(entry["blocks"]);
    const std::vector<float> wanted = floats_of_hex(entry["weights"]);
    const auto n = static_cast<int64_t>(wanted.size());
    ASSERT_EQ(bytes_of(dtype, n), static_cast<int64_t>(blocks.size()));
    std::vector<float> found(wanted.size());
    dequantize(dtype, blocks.data(), found.data(), n);
    for (size_t i = 0; i < wanted.size(); ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(found[i]), std::bit_cast<uint32_t>(wanted[i])) << i;
    }
  }
}

TEST(QuantizeTest, PlainBlocksAreThoseOfGguf) {
  const nlohmann::json golden = goldens();
  const std::vector<float> weights = floats_of_hex(golden["weights"]);
  const auto n = static_cast<int64_t>(weights.size());
  for (const DType dtype : {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0}) {
    SCOPED_TRACE(name(dtype));
    const auto wanted = bytes_of_hex(golden["quantized"].at(std::string(name(dtype))));
    std::vector<uint8_t> found(static_cast<size_t>(bytes_of(dtype, n)), 0xff);
    quantize(dtype, weights.data(), found.data(), n);
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      ASSERT_EQ(found[i], wanted[i]) << "byte " << i << " of blocks of " << size_of(dtype);
    }
  }
}

// The error of no type is above llama.cpp's by more than 2 in a hundred.
TEST(QuantizeTest, ErrorsAreThoseOfLlamaCpp) {
  const auto golden = read_json<nlohmann::json>(test_data("quantize_errors.json"));
  for (const auto& [kind, entry] : golden.items()) {
    const std::vector<uint8_t> bytes = bytes_of_hex(entry["bf16"]);
    std::vector<float> weights(bytes.size() / 2);
    for (size_t i = 0; i < weights.size(); ++i) {
      weights[i] = to_float(bf16{static_cast<uint16_t>(bytes[2 * i] | bytes[2 * i + 1] << 8)});
    }
    const auto n = static_cast<int64_t>(weights.size());
    for (const DType dtype : block_types()) {
      std::vector<uint8_t> blocks(static_cast<size_t>(bytes_of(dtype, n)));
      std::vector<float> back(weights.size());
      quantize(dtype, weights.data(), blocks.data(), n);
      dequantize(dtype, blocks.data(), back.data(), n);
      double error = 0;
      for (size_t i = 0; i < weights.size(); ++i) {
        error += std::pow(static_cast<double>(back[i]) - static_cast<double>(weights[i]), 2);
      }
      error = std::sqrt(error / static_cast<double>(n));
      const double wanted = entry["errors"].at(std::string(name(dtype))).get<double>();
      EXPECT_LE(error, wanted * 1.02) << name(dtype) << ", " << kind;
      EXPECT_GE(error, wanted * 0.6) << name(dtype) << ", " << kind;  // too good to be true
    }
  }
}

// Blocks that have no scale to be found by, and scales at the ends of f16.
TEST(QuantizeTest, BlocksOfOneValue) {
  for (const DType dtype : block_types()) {
    for (const float value : {0.0f, 1.0f, -1.0f, 1e-30f, -1e-42f, 1e4f}) {
      const std::vector<float> weights(512, value);
      std::vector<uint8_t> blocks(static_cast<size_t>(bytes_of(dtype, 512)));
      std::vector<float> back(weights.size());
      quantize(dtype, weights.data(), blocks.data(), 512);
      dequantize(dtype, blocks.data(), back.data(), 512);
      for (const float found : back) {
        // To what a scale in f16 can say.
        ASSERT_NEAR(found, value, std::abs(value) * 0.002f + 1e-6f) << name(dtype);
      }
    }
  }
}

TEST(QuantizeTest, WeightsThatAreNoNumbers) {
  std::vector<float> weights(256);
  std::vector<uint8_t> blocks(300);
  for (const float bad : {HUGE_VALF, -HUGE_VALF, std::nanf("")}) {
    weights[7] = bad;
    EXPECT_EQ(error_of([&] { quantize(DType::kQ4K, weights.data(), blocks.data(), 256); }),
              fmt::format("quantize: weight 7 is {}, wanted a finite number", bad));
  }
}

TEST(QuantizeTest, TensorsConvertByRows) {
  Tensor tensor(DType::kF32, {3, 64});
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    tensor.as<float>()[i] = std::sin(static_cast<float>(i));
  }
  const Tensor blocks = tensor.to(DType::kQ8_0);
  EXPECT_EQ(blocks.bytes(), size_t{3 * 2 * 34});
  const Tensor back = blocks.to(DType::kF32);
  for (int64_t i = 0; i < back.elements(); ++i) {
    EXPECT_NEAR(back.as<float>()[i], tensor.as<float>()[i], 1.01 / 254) << i;
  }
  const Tensor last = blocks.rows(2, 3).to(DType::kF32);
  for (int64_t i = 0; i < 64; ++i) {
    EXPECT_EQ(last.as<float>()[i], back.as<float>()[2 * 64 + i]);
  }
  // From and to halves by way of f32, each rounded once.
  const Tensor halves = blocks.to(DType::kBF16), again = halves.to(DType::kQ8_0);
  for (int64_t i = 0; i < back.elements(); ++i) {
    EXPECT_EQ(halves.as<bf16>()[i].bits, to_bf16(back.as<float>()[i]).bits);
  }
  EXPECT_EQ(again.bytes(), blocks.bytes());
}

TEST(QuantizeTest, RowsThatAreNotWholeBlocks) {
  std::vector<float> weights(48);
  std::vector<uint8_t> blocks(64);
  EXPECT_EQ(error_of([&] { quantize(DType::kQ8_0, weights.data(), blocks.data(), 48); }),
            "quantize: 48 elements are no whole blocks of q8_0");
  EXPECT_EQ(error_of([&] { dequantize(DType::kQ4K, blocks.data(), weights.data(), 32); }),
            "dequantize: 32 elements are no whole blocks of q4_k");
  EXPECT_EQ(error_of([&] { dequantize(DType::kF32, blocks.data(), weights.data(), 32); }),
            "dequantize: f32 is no block type");
  const Tensor odd(DType::kQ8_0, {4, 8});
  EXPECT_EQ(error_of([&] { odd.rows(0, 1); }),
            "tensor rows: the rows of [4, 8] are no whole blocks of q8_0");
  EXPECT_EQ(error_of([&] {
              Tensor(DType::kQ8_0, {32, 32}).transposed();
            }),
            "tensor transpose: q8_0 has rows of blocks");
}

}  // namespace
}  // namespace ashlar
