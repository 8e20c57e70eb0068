#include "ashlar/kernels/ref/norm.h"

#include "tests/kernels/array.h"
#include "tests/kernels/central_differences.h"
#include "tests/kernels/norm_inputs.h"
#include "tests/kernels/tier_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <vector>

namespace ashlar::kernels {
namespace {

constexpr NormSize kSizes[] = {{1, 1},  {3, 7},  {2, 8},  {5, 9},     {4, 17},
                               {3, 33}, {1, 80}, {9, 64}, {700, 320}, {5, 1111}};
constexpr double kEps = 1e-5;

struct Outputs {
  Array y, rstd, mean, d_x, d_weight, d_bias;
  bool operator==(const Outputs&) const = default;
};

// All four kernels, forward to backward, on rows [begin, begin + rows) of the inputs.
Outputs run_kernels(const KernelTable& table, const Team& team, const NormInputs& in, bool layer,
                    int64_t begin, int64_t rows) {
  const int64_t width = in.width;
  const Array x = in.x.slice(begin * width, rows * width);
  const Array d_y = in.d_y.slice(begin * width, rows * width);
  const Array residual = in.residual_grad.slice(begin * width, rows * width);
  Outputs out{Array(in.dtype, rows * width),
              Array(DType::kF32, rows),
              Array(DType::kF32, rows),
              Array(in.dtype, rows * width),
              in.old_weight,
              in.old_bias};
  NormArgs norm;
  norm.rows = rows;
  norm.width = width;
  norm.eps = static_cast<float>(kEps);
  norm.dtype = in.dtype;
  norm.x = x.data();
  norm.weight = in.weight.floats();
  norm.bias = layer ? in.bias.floats() : nullptr;
  norm.y = out.y.data();
  norm.rstd = out.rstd.floats();
  norm.mean = layer ? out.mean.floats() : nullptr;
  (layer ? table.layer_norm : table.rms_norm)(norm, team);

  NormGradArgs grad;
  grad.rows = rows;
  grad.width = width;
  grad.dtype = in.dtype;
  grad.x = x.data();
  grad.weight = in.weight.floats();
  grad.rstd = out.rstd.floats();
  grad.mean = norm.mean;
  grad.d_y = d_y.data();
  grad.residual_grad = residual.data();
  grad.d_x = out.d_x.data();
  table.norm_grad(grad, team);

  NormWeightGradArgs weight_grad;
  weight_grad.rows = rows;
  weight_grad.width = width;
  weight_grad.dtype = in.dtype;
  weight_grad.x = x.data();
  weight_grad.rstd = out.rstd.floats();
  weight_grad.mean = norm.mean;
  weight_grad.d_y = d_y.data();
  weight_grad.d_weight = out.d_weight.floats();
  weight_grad.d_bias = layer ? out.d_bias.floats() : nullptr;
  weight_grad.accumulate = true;
  table.norm_weight_grad(weight_grad, team);
  return out;
}

struct Reference {
  std::vector<double> y, rstd, mean, d_x, d_weight, d_bias;
};

Reference run_reference(const std::vector<double>& x, const std::vector<double>& weight,
                        const std::vector<double>& bias, const std::vector<double>& d_y,
                        const std::vector<double>& residual, Reference out, bool layer,
                        int64_t rows, int64_t width) {
  out.y = out.d_x = x;
  out.rstd = out.mean = std::vector<double>(static_cast<size_t>(rows));
  ref::NormArgs norm;
  norm.rows = rows;
  norm.width = width;
  norm.eps = kEps;
  norm.x = x.data();
  norm.weight = weight.data();
  norm.bias = layer ? bias.data() : nullptr;
  norm.y = out.y.data();
  norm.rstd = out.rstd.data();
  norm.mean = layer ? out.mean.data() : nullptr;
  (layer ? ref::layer_norm : ref::rms_norm)(norm);

  ref::NormGradArgs grad;
  grad.rows = rows;
  grad.width = width;
  grad.x = x.data();
  grad.weight = weight.data();
  grad.rstd = out.rstd.data();
  grad.mean = norm.mean;
  grad.d_y = d_y.data();
  grad.residual_grad = residual.empty() ? nullptr : residual.data();
  grad.d_x = out.d_x.data();
  ref::norm_grad(grad);

  ref::NormWeightGradArgs weight_grad;
  weight_grad.rows = rows;
  weight_grad.width = width;
  weight_grad.x = x.data();
  weight_grad.rstd = out.rstd.data();
  weight_grad.mean = norm.mean;
  weight_grad.d_y = d_y.data();
  weight_grad.d_weight = out.d_weight.data();
  weight_grad.d_bias = layer ? out.d_bias.data() : nullptr;
  weight_grad.accumulate = true;
  ref::norm_weight_grad(weight_grad);
  return out;
}

class NormTest : public TierTest {};

TEST_P(NormTest, MatchesReferenceForEverySizeAndTeam) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const bool layer : {false, true}) {
      for (const NormSize size : kSizes) {
        const std::string what =
            fmt::format("{} {} {}x{}", layer ? "layer" : "rms", name(dtype), size.rows, size.width);
        const NormInputs in(dtype, size);
        Reference start;
        start.d_weight = in.old_weight.values();
        start.d_bias = in.old_bias.values();
        const Reference wanted =
            run_reference(in.x.values(), in.weight.values(), in.bias.values(), in.d_y.values(),
                          in.residual_grad.values(), start, layer, size.rows, size.width);
        const Outputs found =
            run_kernels(table(), teams()[0].with_scratch(), in, layer, 0, size.rows);
        expect_close(found.y, wanted.y, what + " y");
        expect_close(found.rstd, wanted.rstd, what + " rstd");
        // A norm over one element divides rounding errors by sqrt(eps).
        expect_close(found.d_x, wanted.d_x, what + " d_x", size.width == 1 ? 4 : 1);
        expect_close(found.d_weight, wanted.d_weight, what + " d_weight");
        if (layer) {
          expect_close(found.mean, wanted.mean, what + " mean");
          expect_close(found.d_bias, wanted.d_bias, what + " d_bias");
        }
        for (TestTeam& team : teams()) {
          EXPECT_TRUE(found == run_kernels(table(), team.with_scratch(), in, layer, 0, size.rows))
              << what << " with " << team.threads() << " threads";
        }
      }
    }
  }
}

TEST_P(NormTest, RowAloneHasTheBitsItHasAmongMany) {
  const NormInputs in(DType::kBF16, {700, 320});
  for (const bool layer : {false, true}) {
    Team team = teams()[2].with_scratch();
    const Outputs all = run_kernels(table(), team, in, layer, 0, in.rows);
    for (const int64_t row : {0, 1, 350, 699}) {
      const Outputs alone = run_kernels(table(), team, in, layer, row, 1);
      EXPECT_TRUE(alone.y == all.y.slice(row * in.width, in.width)) << row;
      EXPECT_TRUE(alone.d_x == all.d_x.slice(row * in.width, in.width)) << row;
    }
  }
}

TEST_P(NormTest, OptionalOutputsMayBeLeftOut) {
  const NormInputs in(DType::kF32, {5, 33});
  Array y(DType::kF32, in.x.size());
  NormArgs args;
  args.rows = in.rows;
  args.width = in.width;
  args.x = in.x.data();
  args.weight = in.weight.floats();
  args.y = y.data();
  const Team team = teams()[1].with_scratch();
  table().rms_norm(args, team);
  EXPECT_TRUE(y == run_kernels(table(), team, in, false, 0, in.rows).y);
  table().layer_norm(args, team);  // without bias, mean and rstd
  EXPECT_FALSE(y == run_kernels(table(), team, in, true, 0, in.rows).y);
  args.bias = in.bias.floats();
  table().layer_norm(args, team);
  EXPECT_TRUE(y == run_kernels(table(), team, in, true, 0, in.rows).y);

  NormGradArgs grad;  // d_x null: nothing to do
  grad.rows = in.rows;
  grad.width = in.width;
  table().norm_grad(grad, team);
}

// Each column is one chain: two halves of the rows, the second accumulated, have the bits of all.
TEST_P(NormTest, WeightGradientsAccumulateToTheBitsOfOneCall) {
  const NormInputs in(DType::kF32, {43, 33});
  const Array rstd(DType::kF32, std::vector<double>(43, 0.7));
  Array d_weight(DType::kF32, in.width), d_bias(DType::kF32, in.width);
  NormWeightGradArgs args;
  args.rows = in.rows;
  args.width = in.width;
  args.x = in.x.data();
  args.rstd = rstd.floats();
  args.d_y = in.d_y.data();
  args.d_weight = d_weight.floats();
  args.d_bias = d_bias.floats();
  const Team team = teams()[1].with_scratch();
  table().norm_weight_grad(args, team);  // what was there, NaN, is ignored
  const Array once = d_weight, once_bias = d_bias;

  constexpr int64_t kHalf = 21;
  args.rows = kHalf;
  table().norm_weight_grad(args, team);
  args.rows = in.rows - kHalf;
  args.x = in.x.floats() + kHalf * in.width;
  args.d_y = in.d_y.floats() + kHalf * in.width;
  args.accumulate = true;
  table().norm_weight_grad(args, team);
  EXPECT_TRUE(d_weight == once);
  EXPECT_TRUE(d_bias == once_bias);
}

ASHLAR_TEST_EACH_TIER(NormTest);

TEST(NormTiers, VectorTiersGiveEqualBits) {
  TestTeam team(2);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const NormSize size : {NormSize{3, 33}, NormSize{700, 320}}) {
      const NormInputs in(dtype, size);
      for (const bool layer : {false, true}) {
        std::vector<Outputs> outputs;
        for (const IsaTier tier : runnable_vector_tiers()) {
          outputs.push_back(
              run_kernels(kernel_table(tier), team.with_scratch(), in, layer, 0, size.rows));
          EXPECT_TRUE(outputs.back() == outputs.front()) << name(tier);
        }
      }
    }
  }
}

TEST(NormReference, GradientsMatchCentralDifferences) {
  constexpr int64_t kRows = 3, kWidth = 7;
  const auto x = random_values("x", kRows * kWidth, 1.5, 0.5);
  const auto weight = random_values("weight", kWidth, 0.3, 1);
  const auto bias = random_values("bias", kWidth);
  const auto d_y = random_values("d_y", kRows * kWidth);
  for (const bool layer : {false, true}) {
    Reference start;
    start.d_weight = start.d_bias = std::vector<double>(kWidth, 0.0);
    const auto run = [&](const auto& x_, const auto& weight_, const auto& bias_) {
      return run_reference(x_, weight_, bias_, d_y, {}, start, layer, kRows, kWidth);
    };
    const Reference found = run(x, weight, bias);
    expect_gradient(
        found.d_x, [&](const auto& v) { return dot(run(v, weight, bias).y, d_y); }, x, "d_x");
    expect_gradient(
        found.d_weight, [&](const auto& v) { return dot(run(x, v, bias).y, d_y); }, weight,
        "d_weight");
    if (layer) {
      expect_gradient(
          found.d_bias, [&](const auto& v) { return dot(run(x, weight, v).y, d_y); }, bias,
          "d_bias");
    }
  }
}

}  // namespace
}  // namespace ashlar::kernels
