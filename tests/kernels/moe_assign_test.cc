#include "ashlar/kernels/moe_assign.h"

#include "ashlar/kernels/ref/moe.h"
#include "tests/kernels/array.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <type_traits>

namespace ashlar::kernels {
namespace {

struct Maps {
  std::vector<int32_t> slots, sources, offsets;

  explicit Maps(const MoeAssignSpec& spec)
      : slots(static_cast<size_t>(spec.tokens * spec.top_k), 77),
        sources(slots),
        offsets(static_cast<size_t>(spec.experts + 1), 77) {}
  MoeAssignment out() { return {slots.data(), sources.data(), offsets.data()}; }
  int64_t dropped() const { return std::ranges::count(slots, -1); }
  bool operator==(const Maps&) const = default;
};

Maps assign(const MoeAssignSpec& spec, const std::vector<int32_t>& chosen,
            const std::vector<float>& weights = {}) {
  Maps maps(spec);
  moe_assign(spec, chosen.data(), weights.data(), maps.out());
  return maps;
}

// k different experts for each token.
std::vector<int32_t> random_choices(const MoeAssignSpec& spec, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> experts(static_cast<size_t>(spec.experts)), chosen;
  std::iota(experts.begin(), experts.end(), 0);
  for (int64_t t = 0; t < spec.tokens; ++t) {
    std::ranges::shuffle(experts, random);
    chosen.insert(chosen.end(), experts.begin(), experts.begin() + spec.top_k);
  }
  return chosen;
}

TEST(MoeAssign, SortsByExpertInTheOrderOfTokens) {
  const Maps maps = assign({.tokens = 4, .experts = 3, .top_k = 2}, {2, 0, 0, 2, 2, 0, 0, 2});
  EXPECT_THAT(maps.slots, testing::ElementsAre(4, 0, 1, 5, 6, 2, 3, 7));
  EXPECT_THAT(maps.sources, testing::ElementsAre(1, 2, 5, 6, 0, 3, 4, 7));
  EXPECT_THAT(maps.offsets, testing::ElementsAre(0, 4, 4, 8));
}

// Capacity 1 each: token 0's second choice yields to token 1's first one.
TEST(MoeAssign, FirstChoicesGoBeforeSecondOnes) {
  const Maps maps =
      assign({.tokens = 3, .experts = 3, .top_k = 2, .capacity = 1}, {0, 1, 1, 0, 0, 2});
  EXPECT_THAT(maps.slots, testing::ElementsAre(0, -1, 1, -1, -1, 2));
  EXPECT_THAT(maps.sources, testing::ElementsAre(0, 2, 5, -1, -1, -1));
  EXPECT_THAT(maps.offsets, testing::ElementsAre(0, 1, 2, 3));
}

TEST(MoeAssign, EqualsTheReference) {
  for (const int64_t top_k : {1, 2, 4}) {
    for (const int64_t tokens : {0, 1, 7, 100}) {
      for (const double factor : {0.0, 0.5, 1.0, 1.25}) {
        for (const bool random_second : {false, true}) {
          MoeAssignSpec spec{.tokens = tokens, .experts = 8, .top_k = top_k};
          spec.capacity = moe_capacity(tokens, spec.experts, top_k, factor);
          spec.random_second = random_second;
          spec.key = 5;
          const std::vector<int32_t> chosen = random_choices(spec, 3);
          const std::vector<double> weights =
              rounded(DType::kF32, random_values("weights", tokens * top_k, 0.1, 0.3));
          Maps wanted(spec);
          ref::moe_assign(spec, chosen.data(), weights.data(), wanted.out());
          EXPECT_EQ(assign(spec, chosen, {weights.begin(), weights.end()}), wanted)
              << tokens << " tokens, capacity " << spec.capacity;
        }
      }
    }
  }
}

// Two parts of a batch, one in two runs, each told what stands before: they keep the pairs, and in
// an expert the order, that the whole batch has.
TEST(MoeAssign, RunsOfABatchDropWhatTheWholeDrops) {
  MoeAssignSpec whole{.tokens = 60, .experts = 5, .top_k = 2, .capacity = 17};
  whole.random_second = true;
  whole.key = 9;
  const std::vector<int32_t> chosen = random_choices(whole, 4);
  const std::vector<double> weights = rounded(DType::kF32, random_values("weights", 120, 0.1, 0.4));
  const Maps wanted = assign(whole, chosen, {weights.begin(), weights.end()});
  EXPECT_GT(wanted.dropped(), 20);
  EXPECT_EQ(wanted.offsets[1], 17);  // full

  const std::vector<std::vector<TokenRun>> parts = {{{0, 0, 15}, {45, 15, 15}}, {{15, 0, 30}}};
  const auto of_part = [&](const auto& all, const std::vector<TokenRun>& runs) {
    std::decay_t<decltype(all)> part;
    for (const TokenRun& run : runs) {
      part.insert(part.end(), all.begin() + run.first * 2,
                  all.begin() + (run.first + run.count) * 2);
    }
    return part;
  };
  // Counts of the three runs in the order of the batch.
  std::vector<int32_t> counts(3 * 10), of_first(2 * 10);
  MoeAssignSpec spec = whole;
  spec.tokens = 30;
  for (size_t part = 0; part < 2; ++part) {
    const std::vector<double> own = of_part(weights, parts[part]);
    const std::vector<float> rounded_down(own.begin(), own.end());
    spec.runs = parts[part];
    int32_t* out = part == 0 ? of_first.data() : counts.data() + 10;
    moe_count(spec, of_part(chosen, parts[part]).data(), rounded_down.data(), out);
    std::vector<int32_t> again(parts[part].size() * 10);
    ref::moe_count(spec, of_part(chosen, parts[part]).data(), own.data(), again.data());
    EXPECT_EQ(again, std::vector<int32_t>(out, out + again.size()));
  }
  std::copy_n(of_first.begin(), 10, counts.begin());
  std::copy_n(of_first.begin() + 10, 10, counts.begin() + 20);
  std::vector<int32_t> before(counts.size());
  for (size_t e = 0; e < 5; ++e) {
    int32_t sum = 0;
    for (size_t choice = 0; choice < 2; ++choice) {
      for (size_t run = 0; run < 3; ++run) {
        const size_t at = (run * 2 + choice) * 5 + e;
        before[at] = sum;
        sum += counts[at];
      }
    }
  }
  for (size_t part = 0; part < 2; ++part) {
    const std::vector<double> own = of_part(weights, parts[part]);
    std::vector<int32_t> mine(before.begin() + 10, before.begin() + 20);
    if (part == 0) {
      mine.assign(before.begin(), before.begin() + 10);
      mine.insert(mine.end(), before.begin() + 20, before.end());
    }
    std::vector<int32_t> used = mine;
    spec.runs = parts[part];
    spec.before = used.data();
    const std::vector<int32_t> choices = of_part(chosen, parts[part]);
    const Maps found = assign(spec, choices, {own.begin(), own.end()});
    const std::vector<int32_t> slots = of_part(wanted.slots, parts[part]);
    for (size_t pair = 0; pair < slots.size(); ++pair) {
      EXPECT_EQ(found.slots[pair] < 0, slots[pair] < 0) << part << ": " << pair;
    }
    Maps reference(spec);
    spec.before = mine.data();
    ref::moe_assign(spec, choices.data(), own.data(), reference.out());
    EXPECT_EQ(found, reference);
  }
}

TEST(MoeAssign, NothingIsDroppedWithoutACapacity) {
  const MoeAssignSpec spec{.tokens = 500, .experts = 4, .top_k = 1};
  const Maps maps = assign(spec, std::vector<int32_t>(500, 3));  // all to one expert
  EXPECT_EQ(maps.dropped(), 0);
  EXPECT_THAT(maps.offsets, testing::ElementsAre(0, 0, 0, 0, 500));
}

// GShard's C = ceil(k T / E cf) is never exceeded, and reached before anything is dropped.
TEST(MoeAssign, CapacityIsNeverExceeded) {
  EXPECT_EQ(moe_capacity(100, 8, 2, 1.25), 32);  // ceil(31.25)
  EXPECT_EQ(moe_capacity(64, 8, 1, 1), 8);
  EXPECT_EQ(moe_capacity(64, 8, 1, 0), 0);
  for (const int64_t top_k : {1, 2}) {
    MoeAssignSpec spec{.tokens = 300, .experts = 8, .top_k = top_k};
    spec.capacity = moe_capacity(spec.tokens, spec.experts, top_k, 1);
    const std::vector<int32_t> chosen = random_choices(spec, 8);
    const Maps maps = assign(spec, chosen);
    int64_t kept = 0;
    for (int32_t e = 0; e < spec.experts; ++e) {
      const auto at = static_cast<size_t>(e);
      const int64_t rows = maps.offsets[at + 1] - maps.offsets[at];
      EXPECT_EQ(rows, std::min<int64_t>(spec.capacity, std::ranges::count(chosen, e)));
      kept += rows;
    }
    EXPECT_EQ(maps.dropped(), spec.tokens * top_k - kept);
  }
}

// EP2: the share that Switch drops of evenly random choices, against counting balls in boxes.
TEST(MoeAssign, DroppedShareIsThatOfAMonteCarlo) {
  constexpr int64_t kTokens = 1024, kExperts = 8;
  constexpr int kTrials = 100;
  for (const double factor : {0.5, 0.9, 1.0, 1.05, 1.25}) {
    MoeAssignSpec spec{.tokens = kTokens, .experts = kExperts, .top_k = 1};
    spec.capacity = moe_capacity(kTokens, kExperts, 1, factor);
    double dropped = 0, reference = 0;
    std::minstd_rand balls(11);
    for (int trial = 0; trial < kTrials; ++trial) {
      const auto chosen = random_ids(fmt::format("trial {}", trial), kTokens, kExperts);
      dropped += static_cast<double>(assign(spec, chosen).dropped());
      std::array<int64_t, kExperts> boxes{};
      for (int64_t i = 0; i < kTokens; ++i) ++boxes[balls() % kExperts];
      for (const int64_t count : boxes) {
        reference += static_cast<double>(std::max<int64_t>(0, count - spec.capacity));
      }
    }
    EXPECT_NEAR(dropped / (kTrials * kTokens), reference / (kTrials * kTokens), 0.01) << factor;
  }
}

// EP1: GShard keeps a second choice of weight w with probability min(1, 2 w).
TEST(MoeAssign, SecondChoicesAreKeptAsOftenAsTheirWeightSays) {
  MoeAssignSpec spec{.tokens = 20000, .experts = 2, .top_k = 2, .random_second = true};
  spec.key = 9;
  std::vector<int32_t> chosen;
  for (int64_t t = 0; t < spec.tokens; ++t) chosen.insert(chosen.end(), {0, 1});
  for (const float weight : {0.0f, 0.1f, 0.3f, 0.5f}) {
    std::vector<float> weights;
    for (int64_t t = 0; t < spec.tokens; ++t) weights.insert(weights.end(), {1 - weight, weight});
    const Maps maps = assign(spec, chosen, weights);
    EXPECT_EQ(maps.offsets[1], spec.tokens);  // first choices all stay
    const double kept = static_cast<double>(maps.offsets[2] - maps.offsets[1]);
    EXPECT_NEAR(kept / static_cast<double>(spec.tokens), 2 * double{weight}, 0.01);
  }
}

// The draw belongs to the token of the global batch: halves of a batch keep what the whole keeps.
TEST(MoeAssign, RandomSecondChoicesDoNotDependOnTheSplit) {
  MoeAssignSpec whole{.tokens = 41, .experts = 8, .top_k = 2, .random_second = true};
  whole.step = 3;
  const std::vector<int32_t> chosen = random_choices(whole, 4);
  const std::vector<float> weights(82, 0.25f);
  MoeAssignSpec second = whole;
  second.first_token = 17;
  second.tokens = 24;
  const Maps all = assign(whole, chosen, weights);
  const Maps part = assign(second, {chosen.begin() + 34, chosen.end()}, weights);
  for (size_t pair = 0; pair < part.slots.size(); ++pair) {
    EXPECT_EQ(part.slots[pair] < 0, all.slots[34 + pair] < 0) << pair;
  }
}

}  // namespace
}  // namespace ashlar::kernels
