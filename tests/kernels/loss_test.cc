#include "ashlar/kernels/ref/loss.h"

#include "tests/kernels/array.h"
#include "tests/kernels/central_differences.h"
#include "tests/kernels/tier_fixture.h"
#include "tests/kernels/tolerance.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace ashlar::kernels {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

struct Outputs {
  Array logits, loss, lse;
  bool operator==(const Outputs&) const = default;
};

struct Size {
  int64_t rows, vocab, stride;
};
constexpr Size kSizes[] = {{1, 1, 1},       {3, 7, 7},       {2, 17, 20},     {4, 33, 33},
                           {5, 1024, 1024}, {3, 1025, 1040}, {40, 5003, 5003}};

Outputs run_kernel(const KernelTable& table, const Team& team, Size size, const Array& logits,
                   const std::vector<int32_t>& targets, float scale, bool gradient = true,
                   float softcap = 0) {
  Outputs out{logits, Array(DType::kF32, size.rows), Array(DType::kF32, size.rows)};
  table.cross_entropy({size.rows, size.vocab, out.logits.floats(), size.stride, targets.data(),
                       scale, softcap, gradient, out.loss.floats(), out.lse.floats()},
                      team);
  return out;
}

struct Reference {
  std::vector<double> logits, loss, lse;
};
Reference run_reference(Size size, const std::vector<double>& logits,
                        const std::vector<int32_t>& targets, double scale, bool gradient = true,
                        double softcap = 0) {
  const auto rows = static_cast<size_t>(size.rows);
  Reference out{logits, std::vector<double>(rows), std::vector<double>(rows)};
  ref::cross_entropy({size.rows, size.vocab, out.logits.data(), size.stride, targets.data(), scale,
                      softcap, gradient, out.loss.data(), out.lse.data()});
  return out;
}

// Every third row is not counted.
std::vector<int32_t> random_targets(Size size) {
  std::vector<int32_t> targets = random_ids("targets", size.rows, size.vocab);
  for (size_t t = 2; t < targets.size(); t += 3) targets[t] = -1;
  return targets;
}

// Each probability is as exact as exp of a difference of logits (of some hundreds here, whose own
// rounding counts); the target's loses digits where it is nearly 1.
void expect_gradient_row(const Array& found, const std::vector<double>& wanted, int64_t begin,
                         int64_t vocab, int32_t target, double scale, const std::string& what) {
  for (int64_t v = 0; v < vocab; ++v) {
    const double want = wanted[static_cast<size_t>(begin + v)];
    const double lost = v == target ? scale : 0;
    const double bound = tolerance(DType::kF32) * (4 * std::abs(want) + lost) + 0x1p-126;
    ASSERT_NEAR(found.floats()[begin + v], want, bound) << what << " gradient of logit " << v;
  }
}

class LossTest : public TierTest {};

TEST_P(LossTest, CappedLogits) {
  const Size size = {5, 1025, 1040};
  const Array logits(DType::kF32, random_values("logits", size.rows * size.stride, 20.0));
  const auto targets = random_targets(size);
  const Reference wanted = run_reference(size, logits.values(), targets, 0.25, true, 3.0);
  const Outputs found =
      run_kernel(table(), teams()[1].with_scratch(), size, logits, targets, 0.25f, true, 3.0f);
  expect_close(found.loss, wanted.loss, "loss");
  expect_close(found.lse, wanted.lse, "lse");
  for (int64_t t = 0; t < size.rows; ++t) {
    for (int64_t v = 0; v < size.vocab; ++v) {
      const auto i = static_cast<size_t>(t * size.stride + v);
      // 1 - tanh^2 loses digits where the cap bites.
      ASSERT_NEAR(found.logits.floats()[i], wanted.logits[i], 2e-6) << t << ", " << v;
    }
  }
}

TEST_P(LossTest, MatchesReferenceForEverySizeAndTeam) {
  for (const Size size : kSizes) {
    for (const double spread : {1.0, 20.0}) {
      const std::string what = fmt::format("{}x{} spread {}", size.rows, size.vocab, spread);
      const Array logits(DType::kF32, random_values("logits", size.rows * size.stride, spread));
      const auto targets = random_targets(size);
      const Reference wanted = run_reference(size, logits.values(), targets, 0.25);
      const Outputs found =
          run_kernel(table(), teams()[0].with_scratch(), size, logits, targets, 0.25f);
      expect_close(found.loss, wanted.loss, what + " loss");
      expect_close(found.lse, wanted.lse, what + " lse");
      for (int64_t t = 0; t < size.rows; ++t) {
        expect_gradient_row(found.logits, wanted.logits, t * size.stride, size.vocab,
                            targets[static_cast<size_t>(t)], 0.25, what);
        // What lies between the rows is not touched.
        const int64_t end = t * size.stride + size.vocab, gap = size.stride - size.vocab;
        EXPECT_TRUE(found.logits.slice(end, gap) == logits.slice(end, gap));
      }
      for (TestTeam& team : teams()) {
        EXPECT_TRUE(found == run_kernel(table(), team.with_scratch(), size, logits, targets, 0.25f))
            << what << " with " << team.threads() << " threads";
      }
      const Outputs alone =
          run_kernel(table(), teams()[0].with_scratch(), {1, size.vocab, size.stride},
                     logits.slice(0, size.stride), {targets[0]}, 0.25f);
      EXPECT_TRUE(alone.logits == found.logits.slice(0, size.stride)) << what << " alone";
      EXPECT_TRUE(alone.loss == found.loss.slice(0, 1)) << what << " alone";
    }
  }
}

TEST_P(LossTest, WithoutGradientLogitsStay) {
  const Size size{3, 33, 33};
  const Array logits(DType::kF32, random_values("logits", size.rows * size.stride));
  const auto targets = random_targets(size);
  const Team team = teams()[1].with_scratch();
  const Outputs with = run_kernel(table(), team, size, logits, targets, 1);
  const Outputs without = run_kernel(table(), team, size, logits, targets, 1, false);
  EXPECT_TRUE(without.logits == logits);
  EXPECT_TRUE(without.loss == with.loss);
}

// In place of the first half of each row; the loss stays.
TEST_P(LossTest, AGradientOfBF16IsThatOfF32Rounded) {
  for (const Size size : kSizes) {
    for (const float softcap : {0.0f, 3.0f}) {
      const Array logits(DType::kF32, random_values("logits", size.rows * size.stride, 5.0));
      const auto targets = random_targets(size);
      const Team team = teams()[1].with_scratch();
      const Outputs wide = run_kernel(table(), team, size, logits, targets, 0.25f, true, softcap);
      Outputs narrow{logits, Array(DType::kF32, size.rows), Array(DType::kF32, size.rows)};
      table().cross_entropy({.rows = size.rows,
                             .vocab = size.vocab,
                             .logits = narrow.logits.floats(),
                             .logits_stride = size.stride,
                             .targets = targets.data(),
                             .scale = 0.25f,
                             .softcap = softcap,
                             .gradient = true,
                             .loss = narrow.loss.floats(),
                             .lse = narrow.lse.floats(),
                             .gradient_dtype = DType::kBF16},
                            team);
      EXPECT_TRUE(narrow.loss == wide.loss && narrow.lse == wide.lse);
      for (int64_t t = 0; t < size.rows; ++t) {
        std::vector<bf16> found(static_cast<size_t>(size.vocab));
        std::memcpy(found.data(), narrow.logits.floats() + t * size.stride,
                    found.size() * sizeof(bf16));
        for (int64_t v = 0; v < size.vocab; ++v) {
          ASSERT_EQ(found[static_cast<size_t>(v)].bits,
                    to_bf16(wide.logits.floats()[t * size.stride + v]).bits)
              << "row " << t << ", logit " << v << " of " << size.vocab;
        }
      }
    }
  }
}

TEST_P(LossTest, HugeAndInfiniteLogitsAreSane) {
  const Team team = teams()[0].with_scratch();
  const auto run = [&](const std::vector<double>& row, int32_t target) {
    const int64_t vocab = static_cast<int64_t>(row.size());
    return run_kernel(table(), team, {1, vocab, vocab}, Array(DType::kF32, row), {target}, 1);
  };
  // Far beyond the range of exp, with a loss that keeps its digits.
  Outputs out = run({1e30, -1e30, 0}, 0);
  EXPECT_EQ(out.loss.values()[0], 0);
  EXPECT_EQ(out.logits.values(), (std::vector<double>{0, 0, 0}));
  out = run({10000, 10001}, 1);
  expect_close(out.loss, {std::log1p(std::exp(-1.0))}, "loss of 10001 against 10000");
  // Masked logits take no part.
  out = run({-kInf, 1, 1, -kInf}, 2);
  expect_close(out.loss, {std::log(2.0)}, "loss with masked logits");
  expect_close(out.logits, {0, 0.5, -0.5, 0}, "gradient with masked logits");
  EXPECT_EQ(run({-kInf, 1}, 0).loss.values()[0], kInf);
  // What has no softmax shows.
  EXPECT_TRUE(std::isnan(run({-kInf, -kInf}, 0).loss.values()[0]));
  EXPECT_TRUE(std::isnan(run({kInf, 0}, 1).loss.values()[0]));
  std::vector<double> row(2000, 1.0);
  for (const size_t place : {0, 1500, 1999}) {
    row[place] = std::nan("");
    out = run(row, 7);
    EXPECT_TRUE(std::isnan(out.loss.values()[0])) << place;
    EXPECT_TRUE(std::isnan(out.logits.values()[7])) << place;
    row[place] = 1;
  }
}

// ---------------------------------------------------------------- slices of the vocabulary
// What one rank of several holds; T is float (a kernel) or double (the reference).
template <typename T>
struct SliceRank {
  int64_t first, vocab;
  std::vector<T> logits, highest, sum, target, loss;
};

// The three steps on `ranks` ranks one after the other, with the exchange by hand. `args_of` makes
// the arguments of a rank, step(i, args) runs one of them.
template <typename Args, typename T, typename Step>
std::vector<SliceRank<T>> run_slices(int ranks, Size size, const std::vector<double>& logits,
                                     const std::vector<int32_t>& targets, T scale, Step step) {
  const auto rows = static_cast<size_t>(size.rows);
  std::vector<T> highest_of_all(rows, std::numeric_limits<T>::lowest());
  std::vector<SliceRank<T>> all;
  for (int rank = 0; rank < ranks; ++rank) {
    const int64_t each = size.vocab / ranks, more = size.vocab % ranks;
    SliceRank<T> slice{
        each * rank + std::min<int64_t>(rank, more), each + (rank < more), {}, {}, {}, {}, {}};
    for (int64_t t = 0; t < size.rows; ++t) {
      const auto begin = logits.begin() + t * size.stride + slice.first;
      for (auto at = begin; at < begin + slice.vocab; ++at)
        slice.logits.push_back(static_cast<T>(*at));
    }
    slice.highest = slice.sum = slice.target = slice.loss = std::vector<T>(rows);
    all.push_back(std::move(slice));
  }
  const auto on_all = [&](int number) {
    for (SliceRank<T>& slice : all) {
      Args args;
      args.rows = size.rows;
      args.vocab = args.logits_stride = slice.vocab;
      args.first = slice.first;
      args.logits = slice.logits.data();
      args.targets = targets.data();
      args.scale = scale;
      args.gradient = true;
      args.highest = slice.highest.data();
      args.highest_of_all = highest_of_all.data();
      args.sum = slice.sum.data();
      args.target = slice.target.data();
      args.loss = slice.loss.data();
      step(number, args);
    }
  };
  on_all(1);
  for (const SliceRank<T>& slice : all) {
    for (size_t t = 0; t < rows; ++t)
      highest_of_all[t] = std::max(highest_of_all[t], slice.highest[t]);
  }
  on_all(2);
  std::vector<T> sum(rows), target(rows);
  for (SliceRank<T>& slice : all) {
    for (size_t t = 0; t < rows; ++t) {
      sum[t] += slice.sum[t];
      target[t] += slice.target[t];
    }
  }
  for (SliceRank<T>& slice : all) {
    slice.sum = sum;
    slice.target = target;
  }
  on_all(3);
  return all;
}

std::vector<SliceRank<float>> run_slices(const KernelTable& table, const Team& team, int ranks,
                                         Size size, const Array& logits,
                                         const std::vector<int32_t>& targets, float scale) {
  return run_slices<CrossEntropySliceArgs>(ranks, size, logits.values(), targets, scale,
                                           [&](int number, const CrossEntropySliceArgs& args) {
                                             (number == 1 ? table.softmax_slice
                                              : number == 2
                                                  ? table.rescale_slice
                                                  : table.cross_entropy_slice)(args, team);
                                           });
}

// Every rank has the loss of the whole, and the columns of its gradient.
TEST_P(LossTest, SlicesOfTheVocabularyEqualTheWhole) {
  constexpr double kTolerance = 1e-6;  // of the loss; of the gradient in units of its scale
  for (const Size size : kSizes) {
    const Array logits(DType::kF32, random_values("logits", size.rows * size.stride, 5));
    const auto targets = random_targets(size);
    const Reference wanted = run_reference(size, logits.values(), targets, 0.25);
    for (const int ranks : {1, 2, 3, 4}) {
      const auto what = fmt::format("{}x{} over {}", size.rows, size.vocab, ranks);
      const auto in_double = run_slices<ref::CrossEntropySliceArgs>(
          ranks, size, logits.values(), targets, 0.25,
          [](int number, const ref::CrossEntropySliceArgs& args) {
            number == 1   ? ref::softmax_slice(args)
            : number == 2 ? ref::rescale_slice(args)
                          : ref::cross_entropy_slice(args);
          });
      const auto found =
          run_slices(table(), teams()[1].with_scratch(), ranks, size, logits, targets, 0.25f);
      for (size_t rank = 0; rank < found.size(); ++rank) {
        for (int64_t t = 0; t < size.rows; ++t) {
          const auto row = static_cast<size_t>(t);
          ASSERT_NEAR(in_double[rank].loss[row], wanted.loss[row], 1e-12) << what;
          ASSERT_NEAR(found[rank].loss[row], wanted.loss[row],
                      kTolerance * std::max(1.0, wanted.loss[row]))
              << what;
          for (int64_t v = 0; v < found[rank].vocab; ++v) {
            const auto here = static_cast<size_t>(t * found[rank].vocab + v);
            const auto there = static_cast<size_t>(t * size.stride + found[rank].first + v);
            ASSERT_NEAR(in_double[rank].logits[here], wanted.logits[there], 1e-14) << what;
            ASSERT_NEAR(found[rank].logits[here], wanted.logits[there], kTolerance * 0.25) << what;
          }
        }
      }
    }
    const auto alone =
        run_slices(table(), teams()[0].with_scratch(), 1, size, logits, targets, 0.25f)[0];
    const Outputs dense =
        run_kernel(table(), teams()[0].with_scratch(), size, logits, targets, 0.25f);
    for (int64_t t = 0; t < size.rows; ++t) {
      ASSERT_EQ(alone.loss[static_cast<size_t>(t)], dense.loss.floats()[t]);
      for (int64_t v = 0; v < size.vocab; ++v) {
        ASSERT_EQ(alone.logits[static_cast<size_t>(t * size.vocab + v)],
                  dense.logits.floats()[t * size.stride + v]);
      }
    }
  }
}

TEST_P(LossTest, SlicesOfHugeAndInfiniteLogitsAreSane) {
  const Team team = teams()[0].with_scratch();
  const auto loss = [&](const std::vector<double>& row, int32_t target) {
    const int64_t vocab = static_cast<int64_t>(row.size());
    const auto ranks =
        run_slices(table(), team, 2, {1, vocab, vocab}, Array(DType::kF32, row), {target}, 1);
    return static_cast<double>(ranks[0].loss[0]);
  };
  EXPECT_EQ(loss({1e30, 0, -1e30, 0}, 0), 0);
  EXPECT_NEAR(loss({-kInf, -kInf, 1, 1}, 2), std::log(2.0), 1e-6);  // nothing on the first rank
  EXPECT_EQ(loss({-kInf, 1}, 0), kInf);
  EXPECT_TRUE(std::isnan(loss({-kInf, -kInf}, 0)));
  EXPECT_TRUE(std::isnan(loss({kInf, 0}, 1)));
  EXPECT_TRUE(std::isnan(loss({0, 0, 0, std::nan("")}, 1)));
}

ASHLAR_TEST_EACH_TIER(LossTest);

TEST(LossTiers, VectorTiersGiveEqualBits) {
  TestTeam team(2);
  const Size size{40, 5003, 5003};
  const Array logits(DType::kF32, random_values("logits", size.rows * size.stride, 5));
  std::vector<Outputs> outputs;
  for (const IsaTier tier : runnable_vector_tiers()) {
    outputs.push_back(run_kernel(kernel_table(tier), team.with_scratch(), size, logits,
                                 random_targets(size), 0.1f));
    EXPECT_TRUE(outputs.back() == outputs.front()) << name(tier);
  }
}

TEST(LossReference, GradientMatchesCentralDifferences) {
  const Size size{4, 6, 7};
  const auto logits = random_values("logits", size.rows * size.stride);
  const auto targets = random_targets(size);
  constexpr double kScale = 0.3;
  Reference found = run_reference(size, logits, targets, kScale);
  for (int64_t t = 0; t < size.rows; ++t) {  // the gap is not a logit
    found.logits[static_cast<size_t>(t * size.stride + size.vocab)] = 0;
  }
  const auto loss = [&](const auto& v) {
    const Reference run = run_reference(size, v, targets, kScale, false);
    return kScale * dot(run.loss, std::vector<double>(run.loss.size(), 1.0));
  };
  expect_gradient(found.logits, loss, logits, "logits");
}

}  // namespace
}  // namespace ashlar::kernels
