#include "tests/kernels/gemm_case.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::kernels {
namespace {

class Gemm : public TierTest {
 protected:
  void expect_reference(const GemmCase& shape) {
    SCOPED_TRACE(testing::Message() << shape);
    const GemmInputs inputs(shape);
    // A 16-bit result is rounded twice where an activation sees its input rounded, and what a
    // residual cancels may have been larger than what is left.
    const bool twice = shape.activation != Activation::kNone && shape.c != DType::kF32;
    expect_close(run_gemm(table(), teams()[1], shape, inputs), gemm_reference(shape, inputs), "c",
                 twice ? 4 : 1);
  }
};
ASHLAR_TEST_EACH_TIER(Gemm);

// Forward, input gradient, weight gradient, and no dimension contiguous.
constexpr Layout kLayouts[][2] = {{Layout::kRows, Layout::kColumns},
                                  {Layout::kRows, Layout::kRows},
                                  {Layout::kColumns, Layout::kRows},
                                  {Layout::kPadded, Layout::kPadded}};
constexpr DType kOperands[][2] = {{DType::kF32, DType::kF32},  {DType::kBF16, DType::kBF16},
                                  {DType::kF32, DType::kBF16}, {DType::kBF16, DType::kF32},
                                  {DType::kF16, DType::kF16},  {DType::kF32, DType::kF16}};

TEST_P(Gemm, MatchesReferenceAtOddSizes) {
  constexpr int64_t kSizes[][3] = {{1, 1, 1},   {1, 33, 7},    {7, 8, 9},    {8, 17, 33},
                                   {9, 1, 17},  {17, 33, 8},   {33, 9, 1},   {33, 65, 9},
                                   {14, 32, 2}, {15, 31, 257}, {6, 16, 256}, {3, 70, 513}};
  for (const auto& [m, n, r] : kSizes) {
    for (const auto& [a_layout, b_layout] : kLayouts) {
      for (const auto& [a, b] : kOperands) {
        for (const bool packed : {false, true}) {
          expect_reference({.m = m,
                            .n = n,
                            .r = r,
                            .a = a,
                            .b = b,
                            .a_layout = a_layout,
                            .b_layout = b_layout,
                            .packed = packed});
        }
      }
    }
  }
}

TEST_P(Gemm, MatchesReferenceAtRealSizes) {
  for (const auto& [a_layout, b_layout] : kLayouts) {
    expect_reference({.m = 700, .n = 320, .r = 80, .a_layout = a_layout, .b_layout = b_layout});
    expect_reference({.m = 320, .n = 80, .r = 700, .a_layout = a_layout, .b_layout = b_layout});
    expect_reference({.m = 150,
                      .n = 330,
                      .r = 700,
                      .a = DType::kBF16,
                      .b = DType::kBF16,
                      .c = DType::kBF16,
                      .a_layout = a_layout,
                      .b_layout = b_layout});
    expect_reference({.m = 33,
                      .n = 330,
                      .r = 700,
                      .a = DType::kF16,
                      .b = DType::kF16,
                      .c = DType::kF16,
                      .a_layout = a_layout,
                      .b_layout = b_layout});
  }
}

TEST_P(Gemm, WhatFollowsTheProduct) {
  constexpr Activation kActivations[] = {Activation::kNone, Activation::kGeluTanh,
                                         Activation::kGeluErf, Activation::kSilu,
                                         Activation::kRelu};
  for (const int64_t r : {0, 5, 300}) {
    for (const DType c : {DType::kF32, DType::kBF16, DType::kF16}) {
      for (int flags = 0; flags < 16; ++flags) {
        expect_reference({.m = 37,
                          .n = 75,
                          .r = r,
                          .c = c,
                          .b_layout = Layout::kColumns,
                          .accumulate = (flags & 1) != 0,
                          .bias = (flags & 2) != 0,
                          .residual = (flags & 4) != 0,
                          .residual_in_c = (flags & 8) != 0,
                          .activation = kActivations[flags % 5]});
      }
    }
  }
}

TEST_P(Gemm, EmptyProductsWriteNothing) {
  for (const GemmCase& shape : {GemmCase{.m = 0, .n = 5, .r = 3}, GemmCase{.m = 5, .n = 0, .r = 3},
                                GemmCase{.m = 0, .n = 0, .r = 0}}) {
    EXPECT_EQ(run_gemm(table(), teams()[1], shape, GemmInputs(shape)).size(), 0);
  }
}

// A row's bits are the same alone and among any number of others, with B packed or not, for any
// thread count and layout of B.
TEST_P(Gemm, ARowHasTheSameBitsAmongAnyOthers) {
  struct Variant {
    int64_t r;
    DType a, b, c;
    bool accumulate;
  };
  constexpr Variant kVariants[] = {{2048, DType::kF32, DType::kF32, DType::kF32, false},
                                   {2048, DType::kF32, DType::kF32, DType::kBF16, true},
                                   {2048, DType::kF32, DType::kBF16, DType::kF32, true},
                                   {1030, DType::kF32, DType::kBF16, DType::kF32, false},
                                   {2048, DType::kBF16, DType::kBF16, DType::kF32, true},
                                   {2048, DType::kF16, DType::kF16, DType::kF16, false},
                                   {5632, DType::kF32, DType::kF16, DType::kF32, false},
                                   {5632, DType::kF32, DType::kF32, DType::kF32, true},
                                   {5632, DType::kBF16, DType::kBF16, DType::kBF16, false}};
  for (const Variant& v : kVariants) {
    GemmCase shape = {.m = 512, .n = 45, .r = v.r, .a = v.a, .b = v.b, .c = v.c};
    shape.accumulate = v.accumulate;
    const GemmInputs inputs(shape);
    const Array all = run_gemm(table(), teams()[0], shape, inputs);
    // amx has another order of sums where B is packed as f32.
    const bool apart = sums_as_amx(GetParam()) && v.a != DType::kF16 && v.b == DType::kF32;
    GemmCase packed_shape = shape;
    packed_shape.packed = true;
    const Array all_packed = apart ? run_gemm(table(), teams()[0], packed_shape, inputs) : all;
    int turn = 0;
    for (const int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 64, 512}) {
      GemmCase some = shape;
      some.m = m;
      GemmInputs rows = inputs;
      rows.a.resize(static_cast<size_t>(m * v.r));
      rows.c.resize(static_cast<size_t>(m * shape.n));
      rows.residual.resize(rows.c.size());
      for (const bool packed : {false, true}) {
        some.packed = packed;
        some.b_layout = turn % 2 == 0 ? Layout::kColumns : Layout::kRows;
        TestTeam& team = teams()[static_cast<size_t>(turn++) % 3];
        const Array& wanted = packed ? all_packed : all;
        EXPECT_EQ(run_gemm(table(), team, some, rows), wanted.slice(0, m * shape.n))
            << some << ", " << team.threads() << " threads";
      }
    }
  }
}

// Products that are cut along r as well, where packed operands would not fit.
TEST_P(Gemm, LongReductionsKeepTheContract) {
  for (const DType c : {DType::kF32, DType::kBF16}) {
    const GemmCase shape = {
        .m = 130, .n = 64, .r = 20011, .c = c, .b_layout = Layout::kColumns, .bias = true};
    const GemmInputs inputs(shape);
    const Array all = run_gemm(table(), teams()[2], shape, inputs);
    EXPECT_EQ(all, run_gemm(table(), teams()[0], shape, inputs));
    GemmCase one = shape;
    one.m = 1;
    for (const int64_t row : {0, 129}) {
      GemmInputs alone = inputs;
      alone.a.assign(inputs.a.begin() + row * shape.r, inputs.a.begin() + (row + 1) * shape.r);
      EXPECT_EQ(run_gemm(table(), teams()[0], one, alone), all.slice(row * shape.n, shape.n));
    }
    expect_close(all, gemm_reference(shape, inputs), "c", 4);  // 80 blocks: longer sums
  }
}

// A Program plans scratch for its largest batch, and runs smaller ones in it.
TEST_P(Gemm, ScratchIsBoundedAndGrowsWithTheProduct) {
  constexpr int64_t kSizes[] = {1, 14, 15, 29, 112, 113, 700, 1024, 2048, 3000, 50257};
  const auto scratch = [&](int64_t m, int64_t n, int64_t r) {
    GemmArgs args;
    args.m = m;
    args.n = n;
    args.r = r;
    args.a.row_stride = r;
    args.b.row_stride = n;
    return table().gemm_scratch(args, 2);
  };
  for (const int64_t m : kSizes) {
    for (const int64_t n : kSizes) {
      for (const int64_t r : kSizes) {
        EXPECT_LE(scratch(m, n, r), int64_t{32} << 20);
        EXPECT_LE(scratch(m, n, r), scratch(m + 1, n, r));
        EXPECT_LE(scratch(m, n, r), scratch(m, n + 1, r));
        EXPECT_LE(scratch(m, n, r), scratch(m, n, r + 1));
      }
    }
  }
}

// The same where weights are packed, which is known before there is data. Some tiers hand few rows
// to another kernel.
TEST_P(Gemm, ScratchBesidePackedWeightsGrowsWithTheRows) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kQ8_0, DType::kQ4K}) {
    for (const int64_t n : {1, 96, 5632}) {
      for (const int64_t r : {256, 5632}) {
        int64_t last = 0;
        for (int64_t m = 1; m < 600; m = m < 50 ? m + 1 : m + 31) {
          GemmArgs args;
          args.m = m;
          args.n = n;
          args.r = r;
          args.a.row_stride = r;
          args.set_packed(nullptr, dtype);
          const int64_t scratch = table().gemm_scratch(args, 2);
          EXPECT_GE(scratch, last) << name(dtype) << " " << m << " x " << n << " x " << r;
          last = scratch;
        }
      }
    }
  }
}

// args.h states one order of sums; only VDPBF16PS on two bf16 operands and AMX have others.
TEST(GemmTiers, VectorTiersGiveEqualBits) {
  const std::vector<IsaTier> tiers = runnable_vector_tiers();
  if (tiers.empty()) GTEST_SKIP() << "tier avx2 cannot run on this processor";
  TestTeam team(2);
  for (const auto& [a, b] : kOperands) {
    GemmCase shape = {.m = 45, .n = 83, .r = 600, .a = a, .b = b, .b_layout = Layout::kColumns};
    shape.bias = true;
    shape.activation = Activation::kGeluTanh;
    const GemmInputs inputs(shape);
    const Array wanted = run_gemm(kernel_table(tiers[0]), team, shape, inputs);
    for (const IsaTier tier : tiers) {
      if (tier == IsaTier::kAvx512Bf16 && a == DType::kBF16 && b == DType::kBF16) continue;
      if (sums_as_amx(tier) && a != DType::kF16 && b != DType::kF16) continue;
      EXPECT_EQ(run_gemm(kernel_table(tier), team, shape, inputs), wanted) << name(tier) << shape;
    }
  }
}

}  // namespace
}  // namespace ashlar::kernels
