#include "tests/kernels/quant_case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace ashlar::kernels {
namespace {

class QuantGemm : public TierTest {
 protected:
  Array multiply(TestTeam& team, const QuantWeights& weights, const Array& rows) {
    return run_product(table(), team, weights, packed(table(), weights), rows);
  }
};
ASHLAR_TEST_EACH_TIER(QuantGemm);

// Rows of very different sizes.
Array some_rows(DType dtype, int64_t m, int64_t r) {
  std::vector<double> values = random_values("rows", m * r);
  for (int64_t i = 0; i < m * r; ++i) {
    values[static_cast<size_t>(i)] *= std::exp2(static_cast<double>(i / 32 % 7) - 3);
  }
  return {dtype, values};
}

TEST_P(QuantGemm, MatchesReference) {
  constexpr int64_t kSizes[][3] = {{1, 1, 256},   {1, 33, 512},  {2, 16, 256},   {5, 17, 768},
                                   {12, 48, 512}, {13, 31, 256}, {25, 130, 512}, {110, 40, 256}};
  for (const DType format : kQuantFormats) {
    for (const auto& [m, n, r] : kSizes) {
      for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
        SCOPED_TRACE(testing::Message() << name(format) << " " << m << " x " << n << " x " << r
                                        << " of " << name(dtype));
        const QuantWeights weights = random_weights(format, n, r);
        const Array rows = some_rows(dtype, m, r);
        expect_close(multiply(teams()[1], weights, rows), product_reference(weights, rows), "c");
      }
    }
  }
}

// Blocks of 32 need no multiple of 256.
TEST_P(QuantGemm, ReductionsOfAnyNumberOfBlocks) {
  for (const DType format : {DType::kQ8_0, DType::kQ4_0}) {
    for (const int64_t r : {32, 96, 224}) {
      const QuantWeights weights = random_weights(format, 20, r);
      for (const int64_t m : {7, 70}) {
        const Array rows = some_rows(DType::kF32, m, r);
        expect_close(multiply(teams()[0], weights, rows), product_reference(weights, rows), "c");
      }
    }
  }
}

// Codes and activations at their ends, all of one sign or in turns, where sums of 16 bits are
// largest.
TEST_P(QuantGemm, CodesAtTheirEnds) {
  constexpr int64_t kM = 7, kN = 16, kR = 512;
  for (const DType format : kQuantFormats) {
    for (const int code : {0x00, 0x0f, 0x7f, 0x80, 0xf0, 0xff}) {
      const QuantWeights weights = random_weights(format, kN, kR, static_cast<std::byte>(code));
      for (const size_t period : {1, 2, 3, 4, 16, 100'000}) {
        std::vector<double> values(kM * kR);
        for (size_t i = 0; i < values.size(); ++i) values[i] = i / period % 2 == 0 ? -1 : 0.9;
        const Array rows(DType::kF32, values);
        SCOPED_TRACE(testing::Message()
                     << name(format) << " codes " << code << " period " << period);
        expect_close(multiply(teams()[0], weights, rows), product_reference(weights, rows), "c");
      }
    }
  }
}

// Activations lose half a step of their super-block at most, scales half a multiplier.
TEST_P(QuantGemm, StaysWithinTheBoundOfItsFormats) {
  for (const DType format : kQuantFormats) {
    const QuantWeights weights = random_weights(format, 64, 2048);
    const Array rows = some_rows(DType::kF32, 3, 2048);
    const std::vector<double> found = multiply(teams()[1], weights, rows).values();
    const std::vector<double> wanted = unrounded_product(weights, rows);
    const std::vector<double> bound = rounding_bound(weights, rows);
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_LE(std::abs(found[i] - wanted[i]), bound[i] * 1.0001) << name(format) << " " << i;
    }
  }
}

// A row's bits are the same alone and among any number of others, for any thread count.
TEST_P(QuantGemm, ARowHasTheSameBitsAmongAnyOthers) {
  for (const DType format : kQuantFormats) {
    for (const int64_t r : {2048, 5632}) {
      const QuantWeights weights = random_weights(format, 20, r);
      const std::vector<std::byte> b = packed(table(), weights);
      const Array rows = some_rows(DType::kF32, 512, r);
      const Array all = run_product(table(), teams()[0], weights, b, rows);
      size_t turn = 0;
      for (const int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 64, 512}) {
        EXPECT_EQ(run_product(table(), teams()[turn++ % 3], weights, b, rows.slice(0, m * r)),
                  all.slice(0, m * weights.n))
            << name(format) << ", " << m << " rows of " << r;
      }
    }
  }
}

TEST_P(QuantGemm, BlocksThatAreNotPackedYetGiveTheSameBits) {
  for (const DType format : kQuantFormats) {
    for (const int64_t r : {256, 768, 5632}) {
      const QuantWeights weights = random_weights(format, 77, r);
      const std::vector<std::byte> b = packed(table(), weights);
      const Array rows = some_rows(DType::kF32, 130, r);
      for (const int64_t m : {1, 2, 7, 13, 31, 130}) {
        const Array some = rows.slice(0, m * r);
        EXPECT_EQ(run_product(table(), teams()[1], weights, {}, some),
                  run_product(table(), teams()[1], weights, b, some))
            << name(format) << ", " << m << " rows of " << r;
      }
    }
  }
  for (const DType format : {DType::kQ8_0, DType::kQ4_0}) {  // the last super-block has fewer
    const QuantWeights weights = random_weights(format, 40, 736);
    const Array rows = some_rows(DType::kF32, 9, 736);
    EXPECT_EQ(run_product(table(), teams()[0], weights, {}, rows),
              run_product(table(), teams()[0], weights, packed(table(), weights), rows));
  }
}

TEST_P(QuantGemm, BiasAndResidualAndActivationFollow) {
  const QuantWeights weights = random_weights(DType::kQ4_0, 21, 64);
  const std::vector<std::byte> b = packed(table(), weights);
  const Array rows = some_rows(DType::kF32, 5, 64);
  const Array plain = run_product(table(), teams()[0], weights, b, rows);
  const Array bias(DType::kF32, random_values("bias", weights.n));
  Array c(DType::kF32, random_values("residual", 5 * weights.n));
  std::vector<double> wanted = plain.values(), add = bias.values(), residual = c.values();
  for (size_t i = 0; i < wanted.size(); ++i) {
    wanted[i] = std::max(0.0, wanted[i] + add[i % add.size()]) + residual[i];
  }
  GemmArgs args;
  args.m = 5;
  args.n = weights.n;
  args.r = weights.r;
  args.a = {rows.data(), rows.dtype(), weights.r, 1};
  args.set_packed(b.data(), weights.format);
  args.c = c.data();
  args.c_stride = args.n;
  args.bias = bias.floats();
  args.activation = Activation::kRelu;
  args.residual = c.data();
  args.residual_stride = args.n;
  table().gemm(args, teams()[2].with_scratch(table().gemm_scratch(args, 3)));
  expect_close(c, wanted, "c");
}

// Products of one A at once, of one format and of several, have the bits of each alone.
TEST_P(QuantGemm, AGroupHasTheBitsOfItsProducts) {
  using enum DType;
  constexpr int64_t kR = 768;
  constexpr int64_t kOutputs[] = {70, 16, 33, 130};
  const std::vector<DType> groups[] = {
      {kQ8_0, kQ8_0, kQ8_0}, {kQ4_0, kQ4_0}, {kQ4K, kQ4K, kQ6K, kQ4K}, {kQ8_0, kQ4_0, kQ6K}};
  size_t turn = 0;
  for (const std::vector<DType>& formats : groups) {
    std::vector<QuantWeights> weights;
    std::vector<std::vector<std::byte>> bytes;
    for (size_t i = 0; i < formats.size(); ++i) {
      weights.push_back(random_weights(formats[i], kOutputs[i], kR));
      bytes.push_back(packed(table(), weights.back()));
    }
    for (const int64_t m : {1, 4, 9, 130}) {
      TestTeam& team = teams()[turn++ % 3];
      const Array rows = some_rows(kF32, m, kR), bias(kF32, random_values("bias", 130));
      std::vector<Array> found, wanted;
      std::vector<GemmArgs> products(formats.size());
      for (size_t i = 0; i < formats.size(); ++i) {
        found.emplace_back(kF32, m * kOutputs[i]);
        wanted.push_back(found.back());
      }
      for (size_t i = 0; i < formats.size(); ++i) {
        GemmArgs& args = products[i];
        args.m = m;
        args.n = kOutputs[i];
        args.r = kR;
        args.a = {rows.data(), kF32, kR, 1};
        args.set_packed(bytes[i].data(), formats[i]);
        args.c_stride = args.n;
        if (i == 1) args.bias = bias.floats();
        args.c = wanted[i].data();
        table().gemm(args, team.with_scratch(table().gemm_scratch(args, team.threads())));
        args.c = found[i].data();
      }
      const int count = static_cast<int>(products.size());
      const int64_t scratch = table().gemm_group_scratch(products.data(), count, team.threads());
      table().gemm_group(products.data(), count, team.with_scratch(scratch));
      for (size_t i = 0; i < formats.size(); ++i) {
        EXPECT_EQ(found[i], wanted[i])
            << name(formats[i]) << ", product " << i << " of " << count << ", " << m << " rows";
      }
      for (GemmArgs& args : products) args.m = 1;  // what serves many rows serves fewer
      EXPECT_LE(table().gemm_group_scratch(products.data(), count, team.threads()), scratch);
    }
  }
}

// A super-block that holds a NaN or an infinity makes its row NaN and no other; blocks of zeros and
// of numbers too small to scale count as zeros.
TEST_P(QuantGemm, RowsThatCannotBeRounded) {
  const QuantWeights weights = random_weights(DType::kQ8_0, 16, 64);
  std::vector<double> values = random_values("rows", 5 * 64);
  values[7] = std::numeric_limits<double>::quiet_NaN();
  values[64 + 40] = -std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < 64; ++i) values[2 * 64 + i] = 0;
  for (size_t i = 0; i < 64; ++i) values[3 * 64 + i] *= 0x1p-140;
  const std::vector<double> found =
      multiply(teams()[0], weights, Array(DType::kF32, values)).values();
  for (size_t i = 0; i < found.size(); ++i) {
    if (i < 32) {
      EXPECT_TRUE(std::isnan(found[i])) << i;
    } else if (i < 64) {
      EXPECT_EQ(found[i], 0) << i;
    } else {
      EXPECT_TRUE(std::isfinite(found[i]) && found[i] != 0) << i;
    }
  }
}

// Integer sums are exact, so all vector tiers give the same bits.
TEST(QuantGemmTiers, HaveTheSameBits) {
  std::vector<TestTeam> team;
  team.emplace_back(2);
  for (const DType format : kQuantFormats) {
    const QuantWeights weights = random_weights(format, 50, 1024);
    for (const int64_t m : {19, 77}) {
      const Array rows = some_rows(DType::kF32, m, 1024);
      std::vector<Array> results;
      for (const IsaTier tier : runnable_vector_tiers()) {
        const KernelTable& table = kernel_table(tier);
        results.push_back(run_product(table, team[0], weights, packed(table, weights), rows));
        EXPECT_EQ(results.back(), results.front()) << name(format) << " " << m << " rows";
      }
    }
  }
}

}  // namespace
}  // namespace ashlar::kernels
