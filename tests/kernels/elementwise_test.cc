#include "ashlar/kernels/ref/elementwise.h"

#include "tests/kernels/array.h"
#include "tests/kernels/central_differences.h"
#include "tests/kernels/tier_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ashlar::kernels {
namespace {

constexpr Activation kActivations[] = {
    Activation::kNone,        Activation::kGeluTanh, Activation::kGeluErf,
    Activation::kSilu,        Activation::kRelu,     Activation::kGeluQuick,
    Activation::kReluSquared, Activation::kTanh,     Activation::kSigmoid};
constexpr int64_t kCounts[] = {0, 1, 7, 8, 9, 16, 17, 33, 50'000};

std::string describe(Activation activation, DType dtype, int64_t count) {
  return fmt::format("activation {} {} {}", static_cast<int>(activation), name(dtype), count);
}

// ---------------------------------------------------------------- activations
Array run_activation(const KernelTable& table, const Team& team, Activation activation,
                     const Array& x) {
  Array y(x.dtype(), x.size());
  table.activation({x.size(), activation, x.dtype(), x.data(), y.data()}, team);
  return y;
}

Array run_activation_grad(const KernelTable& table, const Team& team, Activation activation,
                          const Array& x, const Array& d_y) {
  Array d_x(x.dtype(), x.size());
  table.activation_grad({x.size(), activation, x.dtype(), x.data(), d_y.data(), d_x.data()}, team);
  return d_x;
}

// ---------------------------------------------------------------- gated products
struct GatedSize {
  int64_t rows, width, stride;
};
constexpr GatedSize kGatedSizes[] = {{1, 1, 2}, {3, 7, 14}, {2, 17, 40}, {170, 320, 640}};

struct GatedOutputs {
  Array out, d_gate, d_up;
  bool operator==(const GatedOutputs&) const = default;
};

// gate and up are the halves of each row of `both`.
GatedOutputs run_gated(const KernelTable& table, const Team& team, Activation activation,
                       GatedSize size, const Array& both, const Array& d_out) {
  const DType dtype = both.dtype();
  const int64_t count = size.rows * size.width;
  GatedOutputs outputs{Array(dtype, count), Array(dtype, count), Array(dtype, count)};
  GatedArgs args;
  args.rows = size.rows;
  args.width = size.width;
  args.activation = activation;
  args.dtype = dtype;
  args.gate = both.data();
  args.up = static_cast<const std::byte*>(both.data()) + size.width * size_of(dtype);
  args.gate_stride = args.up_stride = size.stride;
  args.out = outputs.out.data();
  table.gated(args, team);
  GatedGradArgs grad;
  grad.forward = args;
  grad.d_out = d_out.data();
  grad.d_gate = outputs.d_gate.data();
  grad.d_up = outputs.d_up.data();
  table.gated_grad(grad, team);
  return outputs;
}

struct GatedReference {
  std::vector<double> out, d_gate, d_up;
};
GatedReference run_gated_reference(Activation activation, GatedSize size,
                                   const std::vector<double>& both,
                                   const std::vector<double>& d_out) {
  GatedReference outputs{d_out, d_out, d_out};
  ref::GatedArgs args;
  args.rows = size.rows;
  args.width = size.width;
  args.activation = activation;
  args.gate = both.data();
  args.up = both.data() + size.width;
  args.gate_stride = args.up_stride = size.stride;
  args.out = outputs.out.data();
  ref::gated(args);
  ref::gated_grad({args, d_out.data(), outputs.d_gate.data(), outputs.d_up.data()});
  return outputs;
}

class ElementwiseTest : public TierTest {};

TEST_P(ElementwiseTest, ActivationsMatchReference) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const Activation activation : kActivations) {
      for (const int64_t count : kCounts) {
        const std::string what = describe(activation, dtype, count);
        const Array x(dtype, random_values("x", count, 3));
        const Array d_y(dtype, random_values("d_y", count));
        const std::vector<double> xs = x.values(), d_ys = d_y.values();
        std::vector<double> y(xs.size()), d_x(xs.size());
        ref::activation({count, activation, xs.data(), y.data()});
        ref::activation_grad({count, activation, xs.data(), d_ys.data(), d_x.data()});
        const Team alone = teams()[0].with_scratch();
        const Array found = run_activation(table(), alone, activation, x);
        const Array found_grad = run_activation_grad(table(), alone, activation, x, d_y);
        expect_close(found, y, what);
        expect_close(found_grad, d_x, what + " grad");
        for (TestTeam& team : teams()) {
          const Team t = team.with_scratch();
          EXPECT_TRUE(found == run_activation(table(), t, activation, x)) << what;
          EXPECT_TRUE(found_grad == run_activation_grad(table(), t, activation, x, d_y)) << what;
        }
      }
    }
  }
}

TEST_P(ElementwiseTest, ActivationsOfHugeValuesAreFinite) {
  const Array x(DType::kF32, {1e4, -1e4, 100, -100, 0});
  const Array ones(DType::kF32, {1, 1, 1, 1, 1});
  const Team team = teams()[0].with_scratch();
  for (const Activation activation : kActivations) {
    const bool unit = activation == Activation::kReluSquared || activation == Activation::kTanh ||
                      activation == Activation::kSigmoid;
    if (activation == Activation::kNone || unit) continue;  // another shape
    const std::string what = describe(activation, DType::kF32, 5);
    expect_close(run_activation(table(), team, activation, x), {1e4, 0, 100, 0, 0}, what);
    const double at_zero = activation == Activation::kRelu ? 0 : 0.5;
    expect_close(run_activation_grad(table(), team, activation, x, ones), {1, 0, 1, 0, at_zero},
                 what + " grad");
  }
}

TEST_P(ElementwiseTest, GatedProductsMatchReference) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const Activation activation : kActivations) {
      for (const GatedSize size : kGatedSizes) {
        const std::string what = describe(activation, dtype, size.width) + " gated";
        const Array both(dtype, random_values("both", size.rows * size.stride, 2));
        const Array d_out(dtype, random_values("d_out", size.rows * size.width));
        const GatedReference wanted =
            run_gated_reference(activation, size, both.values(), d_out.values());
        const GatedOutputs found =
            run_gated(table(), teams()[0].with_scratch(), activation, size, both, d_out);
        expect_close(found.out, wanted.out, what);
        expect_close(found.d_gate, wanted.d_gate, what + " d_gate");
        expect_close(found.d_up, wanted.d_up, what + " d_up");
        for (TestTeam& team : teams()) {
          EXPECT_TRUE(found ==
                      run_gated(table(), team.with_scratch(), activation, size, both, d_out))
              << what << " with " << team.threads() << " threads";
        }
      }
    }
  }
}

TEST_P(ElementwiseTest, AddMatchesReferenceAndWorksInPlace) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const int64_t count : kCounts) {
      const Array a(dtype, random_values("a", count));
      const Array b(dtype, random_values("b", count));
      const std::vector<double> as = a.values(), bs = b.values();
      std::vector<double> wanted(as.size());
      ref::add({count, as.data(), bs.data(), wanted.data()});
      for (TestTeam& team : teams()) {
        Array y(dtype, count), into_a = a, into_b = b;
        const Team t = team.with_scratch();
        table().add({count, dtype, a.data(), b.data(), y.data()}, t);
        table().add({count, dtype, into_a.data(), b.data(), into_a.data()}, t);
        table().add({count, dtype, a.data(), into_b.data(), into_b.data()}, t);
        EXPECT_TRUE(y == Array(dtype, wanted)) << name(dtype) << " " << count;
        EXPECT_TRUE(y == into_a && y == into_b);
      }
    }
  }
}

// A term is added in f32 and the sum rounded once; where the sum begins the term is rounded.
TEST_P(ElementwiseTest, AddTermRoundsOnce) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const int64_t count : kCounts) {
      const Array term(DType::kF32, random_values("term", count));
      const Array before(dtype, random_values("sum", count));
      std::vector<double> wanted = before.values();
      const std::vector<double> terms = term.values();
      for (size_t i = 0; i < wanted.size(); ++i) wanted[i] += terms[i];
      wanted = rounded(DType::kF32, wanted);
      for (TestTeam& team : teams()) {
        Array sum = before, begun(dtype, count);  // whose NaNs must not be read
        const Team t = team.with_scratch();
        table().add_term({count, term.floats(), dtype, sum.data(), false}, t);
        table().add_term({count, term.floats(), dtype, begun.data(), true}, t);
        EXPECT_TRUE(sum == Array(dtype, wanted)) << name(dtype) << " " << count;
        EXPECT_TRUE(begun == Array(dtype, term.values())) << name(dtype) << " " << count;
      }
    }
  }
}

// ---------------------------------------------------------------- dropout
Array run_dropout(const KernelTable& table, const Team& team, const Array& x, DropoutArgs args) {
  Array y(x.dtype(), x.size());
  args.elements = x.size();
  args.dtype = x.dtype();
  args.x = x.data();
  args.y = y.data();
  table.dropout(args, team);
  return y;
}

DropoutArgs dropout_args(float rate, uint64_t first_element) {
  DropoutArgs args;
  args.rate = rate;
  args.key = 0x123456789abcdef0;
  args.step = 0x1'0000'0007;
  args.first_element = first_element;
  return args;
}

// The wanted bits: mask by the reference (philox.h), f32 quotient.
Array wanted_dropout(const Array& x, const DropoutArgs& args) {
  const std::vector<double> ones(static_cast<size_t>(x.size()), 1.0);
  std::vector<double> mask = ones;
  ref::dropout(
      {x.size(), args.rate, args.key, args.step, args.first_element, ones.data(), mask.data()});
  std::vector<double> y = x.values();
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] = mask[i] != 0 ? static_cast<float>(y[i]) / (1 - args.rate) : 0.0f;
  }
  return Array(x.dtype(), y);
}

TEST_P(ElementwiseTest, DropoutIsPhiloxBitForBit) {
  const uint64_t far = (uint64_t{1} << 34) - 40;  // the block index crosses 2^32
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const int64_t count : {0, 1, 7, 63, 64, 65, 130, 1000, 40'000}) {
      for (const uint64_t first : {uint64_t{0}, uint64_t{3}, uint64_t{64}, far}) {
        for (const float rate : {0.0f, 0.1f, 0.5f, 1e-9f}) {
          if (count == 40'000 && rate != 0.1f) continue;  // one for the split into tasks
          const Array x(dtype, random_values("x", count));
          const DropoutArgs args = dropout_args(rate, first);
          const Array wanted = wanted_dropout(x, args);
          for (TestTeam& team : teams()) {
            ASSERT_TRUE(run_dropout(table(), team.with_scratch(), x, args) == wanted)
                << name(dtype) << " " << count << " from " << first << " rate " << rate;
          }
        }
      }
    }
  }
}

TEST_P(ElementwiseTest, DropoutOfAPartHasTheBitsOfTheWhole) {
  const Array x(DType::kF32, random_values("x", 1000));
  const Team team = teams()[0].with_scratch();
  const Array whole = run_dropout(table(), team, x, dropout_args(0.3f, 10));
  const Array part = run_dropout(table(), team, x.slice(333, 100), dropout_args(0.3f, 343));
  EXPECT_TRUE(part == whole.slice(333, 100));
}

TEST_P(ElementwiseTest, DropoutAtRateOneLeavesZeros) {
  const Array x(DType::kF32, random_values("x", 100));
  const Array y = run_dropout(table(), teams()[0].with_scratch(), x, dropout_args(1.0f, 5));
  EXPECT_TRUE(y == Array(DType::kF32, std::vector<double>(100, 0.0)));
}

ASHLAR_TEST_EACH_TIER(ElementwiseTest);

TEST(ElementwiseTiers, VectorTiersGiveEqualBits) {
  TestTeam team(2);
  const GatedSize size{33, 320, 640};
  const Array both(DType::kF32, random_values("both", size.rows * size.stride, 4));
  const Array d_out(DType::kF32, random_values("d_out", size.rows * size.width));
  for (const Activation activation : kActivations) {
    std::vector<GatedOutputs> outputs;
    for (const IsaTier tier : runnable_vector_tiers()) {
      outputs.push_back(
          run_gated(kernel_table(tier), team.with_scratch(), activation, size, both, d_out));
      EXPECT_TRUE(outputs.back() == outputs.front()) << name(tier);
    }
  }
}

// ---------------------------------------------------------------- references
TEST(ElementwiseReference, GradientsMatchCentralDifferences) {
  const GatedSize size{3, 5, 10};
  const auto both = random_values("both", size.rows * size.stride, 2);
  const auto d_out = random_values("d_out", size.rows * size.width);
  for (const Activation activation : kActivations) {
    const GatedReference found = run_gated_reference(activation, size, both, d_out);
    std::vector<double> d_both(both.size());  // laid out as gate and up are
    for (int64_t t = 0; t < size.rows; ++t) {
      for (int64_t c = 0; c < size.width; ++c) {
        const auto from = static_cast<size_t>(t * size.width + c);
        d_both[static_cast<size_t>(t * size.stride + c)] = found.d_gate[from];
        d_both[static_cast<size_t>(t * size.stride + size.width + c)] = found.d_up[from];
      }
    }
    expect_gradient(
        d_both,
        [&](const auto& v) {
          return dot(run_gated_reference(activation, size, v, d_out).out, d_out);
        },
        both, "gated");

    const auto x = random_values("x", 20, 2);
    const auto d_y = random_values("d_y", 20);
    std::vector<double> d_x(20);
    ref::activation_grad({20, activation, x.data(), d_y.data(), d_x.data()});
    const auto loss = [&](const auto& v) {
      std::vector<double> y(20);
      ref::activation({20, activation, v.data(), y.data()});
      return dot(y, d_y);
    };
    expect_gradient(d_x, loss, x, "activation");
  }
}

TEST(ElementwiseReference, DropoutIsItsOwnGradientAndKeepsTheMean) {
  constexpr int64_t kCount = 40;
  const auto run = [](const std::vector<double>& x) {
    std::vector<double> y(x.size());
    ref::dropout({static_cast<int64_t>(x.size()), 0.25, 7, 3, 9, x.data(), y.data()});
    return y;
  };
  const auto x = random_values("x", kCount);
  const auto d_y = random_values("d_y", kCount);
  expect_gradient(
      run(d_y), [&](const auto& v) { return dot(run(v), d_y); }, x, "dropout");
  const std::vector<double> ones(100000, 1.0);
  EXPECT_NEAR(dot(run(ones), ones) / 100000, 1, 0.01);
}

}  // namespace
}  // namespace ashlar::kernels
