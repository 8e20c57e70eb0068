#include "ashlar/kernels/ref/rope.h"

#include "tests/kernels/array.h"
#include "tests/kernels/central_differences.h"
#include "tests/kernels/tier_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace ashlar::kernels {
namespace {

constexpr int64_t kPositions = 50;

struct Case {
  int64_t tokens, heads, head_dim, rotary_dim, x_stride;
  bool interleaved, inverse;
  int64_t rotary_begin = 0;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const bool interleaved : {false, true}) {
    for (const bool inverse : {false, true}) {
      all.push_back({3, 2, 80, 80, 160, interleaved, inverse});
      all.push_back({5, 3, 64, 24, 300, interleaved, inverse});  // partial rotary, a slice of QKV
      all.push_back({4, 1, 6, 2, 6, interleaved, inverse});
      all.push_back({700, 5, 64, 64, 320, interleaved, inverse});
      all.push_back({2, 2, 576, 576, 1152, interleaved, inverse});
      all.push_back({5, 3, 48, 16, 150, interleaved, inverse, 32});  // the last channels
      all.push_back({4, 2, 13, 6, 26, interleaved, inverse, 5});
    }
  }
  return all;
}

std::string describe(const Case& c) {
  return fmt::format("{}x{}x{} rotary {} from {}{}{}", c.tokens, c.heads, c.head_dim, c.rotary_dim,
                     c.rotary_begin, c.interleaved ? " interleaved" : "",
                     c.inverse ? " inverse" : "");
}

std::vector<double> angle_table(int64_t rotary_dim) {
  const int64_t half = rotary_dim / 2;
  std::vector<double> table(static_cast<size_t>(kPositions * rotary_dim));
  for (int64_t p = 0; p < kPositions; ++p) {
    for (int64_t i = 0; i < half; ++i) {
      const double angle =
          static_cast<double>(p) *
          std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim));
      table[static_cast<size_t>(p * rotary_dim + i)] = std::cos(angle);
      table[static_cast<size_t>(p * rotary_dim + half + i)] = std::sin(angle);
    }
  }
  return table;
}

struct Inputs {
  Inputs(const Case& c, DType dtype_of_x)
      : dtype(dtype_of_x),
        x(dtype, random_values("x", c.tokens * c.x_stride)),
        table(DType::kF32, angle_table(c.rotary_dim)),
        positions(random_ids("positions", c.tokens, kPositions)) {}
  DType dtype;
  Array x, table;
  std::vector<int32_t> positions;
};

// Rows [begin, begin + tokens) alone.
Array run_kernel(const KernelTable& table, const Team& team, const Case& c, const Inputs& in,
                 int64_t begin, int64_t tokens) {
  const Array x = in.x.slice(begin * c.x_stride, tokens * c.x_stride);
  Array y(in.dtype, tokens * c.heads * c.head_dim);
  RopeArgs args;
  args.tokens = tokens;
  args.heads = c.heads;
  args.head_dim = c.head_dim;
  args.rotary_begin = c.rotary_begin;
  args.rotary_dim = c.rotary_dim;
  args.dtype = in.dtype;
  args.x = x.data();
  args.x_stride = c.x_stride;
  args.positions = in.positions.data() + begin;
  args.table = in.table.floats();
  args.y = y.data();
  args.interleaved = c.interleaved;
  args.inverse = c.inverse;
  table.rope(args, team);
  return y;
}

std::vector<double> run_reference(const Case& c, const std::vector<double>& x,
                                  const std::vector<double>& table,
                                  const std::vector<int32_t>& positions) {
  std::vector<double> y(static_cast<size_t>(c.tokens * c.heads * c.head_dim));
  ref::RopeArgs args;
  args.tokens = c.tokens;
  args.heads = c.heads;
  args.head_dim = c.head_dim;
  args.rotary_begin = c.rotary_begin;
  args.rotary_dim = c.rotary_dim;
  args.x = x.data();
  args.x_stride = c.x_stride;
  args.positions = positions.data();
  args.table = table.data();
  args.y = y.data();
  args.interleaved = c.interleaved;
  args.inverse = c.inverse;
  ref::rope(args);
  return y;
}

class RopeTest : public TierTest {};

TEST_P(RopeTest, MatchesReferenceForEverySizeAndTeam) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const Case& c : cases()) {
      const Inputs in(c, dtype);
      const Array y = run_kernel(table(), teams()[0].with_scratch(), c, in, 0, c.tokens);
      expect_close(y, run_reference(c, in.x.values(), in.table.values(), in.positions),
                   describe(c));
      for (TestTeam& team : teams()) {
        EXPECT_TRUE(y == run_kernel(table(), team.with_scratch(), c, in, 0, c.tokens))
            << describe(c) << " with " << team.threads() << " threads";
      }
      const int64_t last = c.tokens - 1, size = c.heads * c.head_dim;
      EXPECT_TRUE(y.slice(last * size, size) ==
                  run_kernel(table(), teams()[0].with_scratch(), c, in, last, 1))
          << describe(c) << " alone";
    }
  }
}

TEST_P(RopeTest, WorksInPlace) {
  for (const bool interleaved : {false, true}) {
    const Case c{3, 2, 80, 40, 160, interleaved, false};
    const Inputs in(c, DType::kBF16);
    Array x = in.x;
    RopeArgs args;
    args.tokens = c.tokens;
    args.heads = c.heads;
    args.head_dim = c.head_dim;
    args.rotary_begin = c.rotary_begin;
    args.rotary_dim = c.rotary_dim;
    args.dtype = in.dtype;
    args.x = args.y = x.data();
    args.x_stride = c.x_stride;
    args.positions = in.positions.data();
    args.table = in.table.floats();
    args.interleaved = interleaved;
    const Team team = teams()[1].with_scratch();
    table().rope(args, team);
    EXPECT_TRUE(x == run_kernel(table(), team, c, in, 0, c.tokens));
  }
}

ASHLAR_TEST_EACH_TIER(RopeTest);

TEST(RopeTiers, VectorTiersGiveEqualBits) {
  TestTeam team(2);
  for (const Case& c : cases()) {
    const Inputs in(c, DType::kF32);
    std::vector<Array> outputs;
    for (const IsaTier tier : runnable_vector_tiers()) {
      outputs.push_back(run_kernel(kernel_table(tier), team.with_scratch(), c, in, 0, c.tokens));
      EXPECT_TRUE(outputs.back() == outputs.front()) << name(tier) << " " << describe(c);
    }
  }
}

// The gradient is the rotation back, and a rotation there and back is none.
TEST(RopeReference, InverseIsTheGradient) {
  for (const bool interleaved : {false, true}) {
    Case c{3, 2, 10, 6, 20, interleaved, false};
    const auto table = angle_table(c.rotary_dim);
    const auto positions = random_ids("positions", c.tokens, kPositions);
    const auto x = random_values("x", c.tokens * c.x_stride);
    const auto d_y = random_values("d_y", c.tokens * c.x_stride);
    const auto loss = [&](const auto& v) {
      return dot(run_reference(c, v, table, positions), d_y);
    };
    Case back = c;
    back.inverse = true;
    expect_gradient(run_reference(back, d_y, table, positions), loss, x, "d_x");
    const auto there = run_reference(c, x, table, positions);
    const auto again = run_reference(back, there, table, positions);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(again[i], x[i], 1e-14);
  }
}

}  // namespace
}  // namespace ashlar::kernels
