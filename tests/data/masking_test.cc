// Hidden tokens: which, how many, of what kind, and that they do not depend on who makes the rows.
#include "ashlar/data/masking.h"

#include "ashlar/data/dataset.h"
#include "ashlar/data/loader.h"
#include "tests/data/token_sets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace ashlar::data {
namespace {

using testing::Document;
using ::testing::ElementsAre;
using testing::TokenSets;

constexpr int32_t kMask = 7;

Masking masking(double probability = 0.15) {
  return {.probability = probability, .mask_token = kMask, .vocab = 1000, .special = {1, 2, 3}};
}

// One row whose tokens are its targets.
Batch row_of(std::vector<int32_t> tokens) {
  Batch batch;
  batch.rows = 1;
  batch.seq = std::ssize(tokens);
  batch.tokens = batch.targets = std::move(tokens);
  return batch;
}

TEST(Masking, HidesTheSharesItIsGiven) {
  const int64_t count = 200'000;
  std::vector<int32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), 10);
  Batch batch = row_of(tokens);
  const int64_t hidden = masking().hide(5, 0, batch, 0);
  int64_t masked = 0, kept = 0, changed = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (batch.targets[i] < 0) {
      EXPECT_EQ(batch.tokens[i], tokens[i]);
      continue;
    }
    EXPECT_EQ(batch.targets[i], tokens[i]);
    const bool random = batch.tokens[i] != tokens[i] && batch.tokens[i] != kMask;
    masked += batch.tokens[i] == kMask;
    kept += batch.tokens[i] == tokens[i];
    changed += random;
    EXPECT_TRUE(!random || (batch.tokens[i] >= 0 && batch.tokens[i] < 1000));
  }
  EXPECT_EQ(hidden, masked + kept + changed);
  const auto share = [](int64_t part, int64_t of) {
    return static_cast<double>(part) / static_cast<double>(of);
  };
  EXPECT_NEAR(share(hidden, count), 0.15, 0.003);
  EXPECT_NEAR(share(masked, hidden), 0.8, 0.01);
  EXPECT_NEAR(share(changed, hidden), 0.1, 0.01);
  EXPECT_NEAR(share(kept, hidden), 0.1, 0.01);
}

TEST(Masking, SpecialTokensAndThoseThatDoNotCountStay) {
  Batch batch = row_of({1, 50, 2, 60, 3, 70});
  batch.targets[3] = -1;
  Masking all = masking(1);
  all.mask = 1;
  all.random = 0;
  EXPECT_EQ(all.hide(5, 0, batch, 0), 2);
  EXPECT_THAT(batch.tokens, ElementsAre(1, kMask, 2, 60, 3, kMask));
  EXPECT_THAT(batch.targets, ElementsAre(-1, 50, -1, -1, -1, 70));
}

TEST(Masking, GoesBySeedAndRow) {
  const auto hidden = [](uint64_t seed, int64_t row) {
    std::vector<int32_t> tokens(64);
    std::iota(tokens.begin(), tokens.end(), 10);
    Batch batch = row_of(tokens);
    masking(0.5).hide(seed, row, batch, 0);
    return batch.tokens;
  };
  EXPECT_EQ(hidden(5, 3), hidden(5, 3));
  EXPECT_NE(hidden(5, 3), hidden(5, 4));
  EXPECT_NE(hidden(5, 3), hidden(6, 3));
}

class MaskedRows : public ::testing::Test {
 protected:
  // Documents of 5 to 11 tokens between 1 and 2.
  Dataset dataset(Packing packing) {
    std::vector<Document> documents;
    for (int32_t d = 0; d < 40; ++d) {
      Document document{{1}, {}};
      for (int32_t i = 0; i < 3 + d % 7; ++i) document.tokens.push_back(100 + 10 * d + i);
      document.tokens.push_back(2);
      documents.push_back(document);
    }
    std::vector<TokenSet> sources;
    sources.push_back(sets_.make(documents));
    return {std::move(sources), {}, packing, std::nullopt, 16, masking(0.4)};
  }

  TokenSets sets_;
};

// Tokens, targets and counts of two steps, all ranks one after the other.
std::vector<int32_t> steps_of(const Dataset& data, int64_t ranks) {
  std::vector<int32_t> all;
  for (int64_t step = 0; step < 2; ++step) {
    std::vector<int32_t> tokens, targets;
    int64_t counted = 0, valid = 0;
    for (int64_t rank = 0; rank < ranks; ++rank) {
      const BatchMaker maker =
          data.shuffled({.batch = 8, .microbatch = 2, .rank = rank, .ranks = ranks}, 9);
      StepBatch batch = maker.reserve();
      maker.make(8 * step, batch);
      valid = batch.valid_tokens;
      for (const Batch& each : batch.microbatches) {
        tokens.insert(tokens.end(), each.tokens.begin(), each.tokens.end());
        targets.insert(targets.end(), each.targets.begin(), each.targets.end());
        counted += each.valid_tokens;
      }
    }
    EXPECT_EQ(counted, valid);
    EXPECT_EQ(valid, std::ranges::count_if(targets, [](int32_t t) { return t >= 0; }));
    EXPECT_GT(valid, 0);
    all.insert(all.end(), tokens.begin(), tokens.end());
    all.insert(all.end(), targets.begin(), targets.end());
  }
  return all;
}

TEST_F(MaskedRows, AreTheSameForAnyRanks) {
  const Dataset data = dataset(Packing::kDocuments);
  EXPECT_EQ(steps_of(data, 1), steps_of(data, 2));
  EXPECT_EQ(steps_of(data, 1), steps_of(data, 4));
}

// Whole documents, the tokens that close them included; every token of a stream is read once.
TEST_F(MaskedRows, TargetsAreTheTokensThemselves) {
  for (const Packing packing : {Packing::kDocuments, Packing::kStream}) {
    const Dataset data = dataset(packing);
    const BatchMaker maker = data.in_order({.batch = data.rows(), .microbatch = data.rows()});
    StepBatch step = maker.reserve();
    maker.make(0, step);
    const Batch& batch = step.microbatches.front();
    EXPECT_GE(std::ranges::count(batch.tokens, 1), 40);
    EXPECT_GE(std::ranges::count(batch.tokens, 2), 40);
    for (size_t i = 0; i < batch.tokens.size(); ++i) {
      const int32_t token = batch.tokens[i], target = batch.targets[i];
      EXPECT_TRUE(target < 0 || target >= 100) << target;  // no special one
      EXPECT_TRUE(target >= 0 || token < 3 || token == TokenSets::kEnd || token >= 100) << token;
    }
    const auto again = data.in_order({.batch = data.rows(), .microbatch = data.rows()});
    StepBatch same = again.reserve();
    again.make(0, same);
    EXPECT_EQ(same.microbatches.front().tokens, batch.tokens);  // as validation wants it
  }
}

}  // namespace
}  // namespace ashlar::data
