#include "ashlar/data/row_order.h"

#include "ashlar/data/permutation.h"
#include "tests/base/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

namespace ashlar::data {
namespace {

using ashlar::testing::error_of;
using ::testing::HasSubstr;

bool same(const RowRef& a, const RowRef& b) {
  return a.source == b.source && a.row == b.row && a.epoch == b.epoch;
}

TEST(PermutationTest, IsOneToOneForEverySize) {
  for (int64_t size = 1; size <= 300; ++size) {
    const Permutation shuffle(17, 3, size);
    std::vector<bool> hit(static_cast<size_t>(size));
    for (int64_t i = 0; i < size; ++i) {
      const int64_t to = shuffle(i);
      ASSERT_TRUE(to >= 0 && to < size && !hit[static_cast<size_t>(to)]) << size << " " << i;
      hit[static_cast<size_t>(to)] = true;
    }
  }
}

TEST(PermutationTest, ReachesHugeSizes) {
  const int64_t size = (int64_t{1} << 62) + 12345;
  const Permutation shuffle(1, 0, size);
  std::set<int64_t> seen;
  for (int64_t i = 0; i < 1000; ++i) {
    const int64_t to = shuffle(size - 1 - i);
    EXPECT_TRUE(to >= 0 && to < size);
    seen.insert(to);
  }
  EXPECT_EQ(seen.size(), 1000u);
}

// Where an element goes is uniform over epochs, and so is the distance of two that were neighbours:
// chi-squared with 9 degrees of freedom stays below its 99.99% point, 33.7.
TEST(PermutationTest, LooksRandom) {
  constexpr int64_t kSize = 10;
  constexpr int kEpochs = 5000;
  std::map<int64_t, int> place, distance;
  for (uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
    const Permutation shuffle(99, epoch, kSize);
    ++place[shuffle(3)];
    ++distance[(shuffle(4) - shuffle(3) + kSize) % kSize];
  }
  const auto chi_squared = [](const std::map<int64_t, int>& counts, double expected) {
    double sum = 0;
    for (const auto& [value, count] : counts)
      sum += (count - expected) * (count - expected) / expected;
    return sum;
  };
  ASSERT_EQ(place.size(), 10u);
  EXPECT_LT(chi_squared(place, kEpochs / 10.0), 33.7);
  ASSERT_EQ(distance.size(), 9u);
  EXPECT_LT(chi_squared(distance, kEpochs / 9.0), 31.8);  // 8 degrees
}

TEST(RowOrderTest, EveryRowOfEverySourceOnceAnEpoch) {
  const std::vector<int64_t> rows = {5, 1, 70, 3};
  const RowOrder order = RowOrder::shuffled(rows, {}, 42);
  ASSERT_EQ(order.rows(), 79);
  for (int64_t epoch = 0; epoch < 4; ++epoch) {
    std::set<std::pair<int64_t, int64_t>> seen;
    for (int64_t i = 0; i < 79; ++i) {
      const RowRef ref = order.at(epoch * 79 + i);
      EXPECT_EQ(ref.epoch, epoch);
      ASSERT_LT(ref.row, rows[static_cast<size_t>(ref.source)]);
      seen.emplace(ref.source, ref.row);
    }
    EXPECT_EQ(seen.size(), 79u);
  }
}

TEST(RowOrderTest, IsAPureFunctionOfSeedEpochAndSizes) {
  const std::vector<int64_t> rows = {50, 50};
  const std::vector<double> weights = {1, 3};
  for (const auto& w : {std::vector<double>{}, weights}) {
    const RowOrder a = RowOrder::shuffled(rows, w, 1), b = RowOrder::shuffled(rows, w, 1);
    const RowOrder other_seed = RowOrder::shuffled(rows, w, 2);
    int same_places = 0, same_epochs = 0;
    for (const int64_t i : {999, 0, 500, 3}) EXPECT_TRUE(same(a.at(i), b.at(i)));  // in any order
    for (int64_t i = 0; i < 100; ++i) {
      same_places += same(a.at(i), other_seed.at(i));
      same_epochs += a.at(i).row == a.at(i + 400).row && a.at(i).source == a.at(i + 400).source;
    }
    EXPECT_LT(same_places, 15);
    EXPECT_LT(same_epochs, 15);
  }
}

TEST(RowOrderTest, InOrderGoesOnceThroughAllAndThenPads) {
  const RowOrder order = RowOrder::in_order(std::vector<int64_t>{2, 3});
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(same(order.at(i), {i < 2 ? 0 : 1, i < 2 ? i : i - 2, 0})) << i;
  }
  EXPECT_EQ(order.at(5).row, -1);
}

// At every prefix the shares are those of the weights, to within one row.
TEST(RowOrderTest, WeightsHoldAtEveryPrefix) {
  const std::vector<int64_t> rows = {1000, 10, 77};
  const std::vector<double> weights = {0.6, 0.3, 0.1};
  const RowOrder order = RowOrder::shuffled(rows, weights, 5);
  std::vector<int64_t> drawn(3, 0);
  for (int64_t i = 0; i < 150000; ++i) {
    const RowRef ref = order.at(i);
    const auto s = static_cast<size_t>(ref.source);
    ++drawn[s];
    // 1e-5 a row for the rounding of weights to turns of a cycle of 65536.
    EXPECT_NEAR(static_cast<double>(drawn[s]), weights[s] * static_cast<double>(i + 1),
                1.5 + 1e-5 * static_cast<double>(i))
        << i;
  }
}

// Each source goes through its own epochs, every row once in each.
TEST(RowOrderTest, ABlendedSourceSeesEachRowOnceInEachOfItsEpochs) {
  const std::vector<int64_t> rows = {40, 7};
  const RowOrder order = RowOrder::shuffled(rows, std::vector<double>{2, 1}, 5);
  std::map<std::pair<int64_t, int64_t>, std::multiset<int64_t>> seen;  // (source, epoch): rows
  for (int64_t i = 0; i < 3 * 40 * 7; ++i) {
    const RowRef ref = order.at(i);
    seen[{ref.source, ref.epoch}].insert(ref.row);
  }
  for (const auto& [key, drawn] : seen) {
    EXPECT_EQ(std::ssize(drawn), rows[static_cast<size_t>(key.first)]);
    EXPECT_EQ(std::set<int64_t>(drawn.begin(), drawn.end()).size(), drawn.size());
  }
  EXPECT_EQ(seen.rbegin()->first, std::pair(int64_t{1}, int64_t{39}));  // 280 rows of 7
}

TEST(RowOrderTest, AWeightTooSmallToHoldIsRefused) {
  const std::vector<int64_t> rows = {10, 10};
  EXPECT_THAT(error_of([&] {
                RowOrder::shuffled(rows, std::vector<double>{1e9, 1}, 0);
              }),
              HasSubstr("source 2 has 1e-09 of all weight; at least 1/65536 is needed"));
}

}  // namespace
}  // namespace ashlar::data
