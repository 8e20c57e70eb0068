// Batches: the same global batch for any ranks, exact resume, counts, reused buffers.
#include "ashlar/data/loader.h"

#include "tests/base/heap_calls.h"
#include "tests/base/messages.h"
#include "tests/data/token_sets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace ashlar::data {
namespace {

using ashlar::testing::error_of;
using testing::Document;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::TokenSets;

// All rows of a step as one list of numbers, to compare.
struct Flat {
  std::vector<int32_t> tokens, targets, positions;
  std::vector<int32_t> sequence_lengths;
  int64_t valid_tokens = 0;  // of the step
  int64_t counted = 0;       // in these microbatches
  bool operator==(const Flat&) const = default;
};

void append(Flat& flat, const StepBatch& step) {
  flat.valid_tokens = step.valid_tokens;
  for (const Batch& batch : step.microbatches) {
    const auto add = [](std::vector<int32_t>& to, const std::vector<int32_t>& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    add(flat.tokens, batch.tokens);
    add(flat.targets, batch.targets);
    add(flat.positions, batch.positions);
    for (size_t s = 0; s + 1 < batch.row_start.size(); ++s) {
      flat.sequence_lengths.push_back(batch.row_start[s + 1] - batch.row_start[s]);
    }
    EXPECT_EQ(batch.row_start.front(), 0);
    EXPECT_EQ(batch.row_start.back(), batch.rows * batch.seq);
    EXPECT_EQ(batch.valid_tokens,
              std::ranges::count_if(batch.targets, [](int32_t t) { return t >= 0; }));
    flat.counted += batch.valid_tokens;
  }
}
Flat flatten(const StepBatch& step) {
  Flat flat;
  append(flat, step);
  return flat;
}

class LoaderTest : public ::testing::Test {
 protected:
  // Two sources whose documents have unequal masks.
  Dataset dataset(std::vector<double> weights = {}, Packing packing = Packing::kStream,
                  std::optional<bool> isolate = std::nullopt) {
    std::mt19937 random(1);
    std::vector<TokenSet> sources;
    int32_t next = 0;
    for (const int documents : {37, 11}) {
      std::vector<Document> made;
      for (int d = 0; d < documents; ++d) {
        Document document;
        for (size_t n = 2 + random() % 13; n > 0; --n) {
          document.tokens.push_back(next++);
          document.counted.push_back(n == 1 || random() % 3 != 0);
        }
        made.push_back(document);
      }
      sources.push_back(sets_.make(made, 1 << 20));
    }
    return {std::move(sources), std::move(weights), packing, isolate, kSeq};
  }

  static constexpr int64_t kSeq = 16;
  TokenSets sets_;
};

TEST_F(LoaderTest, RankSlicesJoinToTheGlobalBatch) {
  for (const Packing packing : {Packing::kStream, Packing::kDocuments}) {
    const Dataset data = dataset({}, packing);
    const BatchMaker whole = data.shuffled({.batch = 12, .microbatch = 12}, 7);
    for (const int64_t ranks : {1, 2, 3, 6}) {
      for (const int64_t microbatch : {1, 2}) {
        for (const int64_t first : {0, 12, 1200}) {
          StepBatch step = whole.reserve();
          whole.make(first, step);
          const Flat expected = flatten(step);
          Flat joined;
          for (int64_t rank = 0; rank < ranks; ++rank) {
            const BatchMaker maker = data.shuffled(
                {.batch = 12, .microbatch = microbatch, .rank = rank, .ranks = ranks}, 7);
            StepBatch slice = maker.reserve();
            maker.make(first, slice);
            EXPECT_EQ(slice.microbatches.size(), static_cast<size_t>(12 / ranks / microbatch));
            append(joined, slice);
          }
          EXPECT_EQ(joined, expected);
          EXPECT_EQ(joined.counted, joined.valid_tokens);  // counted before any backward
        }
      }
    }
  }
}

TEST_F(LoaderTest, AnEpochHoldsEveryTokenOnce) {
  const Dataset data = dataset();
  Loader loader(data, {.batch = 1, .microbatch = 1}, 3);
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::vector<int32_t> targets;
    for (int64_t i = 0; i < data.rows(); ++i) {
      const Batch& batch = loader.next().microbatches[0];
      for (int64_t t = 0; t < kSeq; ++t) {
        if (batch.tokens[size_t(t)] != TokenSets::kEnd || t == 0) {
          targets.push_back(batch.tokens[size_t(t)]);
        }
      }
    }
    // Each source's tokens but its last are read; the end token pads the last rows.
    std::ranges::sort(targets);
    EXPECT_EQ(std::ranges::adjacent_find(targets), targets.end());
    EXPECT_GE(std::ssize(targets), data.tokens() - 3);
  }
}

TEST_F(LoaderTest, ResumesExactlyAtAnyStep) {
  std::mt19937 random(2);
  for (const auto& weights : {std::vector<double>{}, {3, 1}}) {
    const Dataset data = dataset(weights, Packing::kDocuments);
    const BatchShape shape{.batch = 6, .microbatch = 2, .rank = 1, .ranks = 3};
    std::vector<Flat> unbroken;
    std::vector<std::string> states;
    {
      Loader loader(data, shape, 11);
      for (int step = 0; step < 40; ++step) {
        states.push_back(loader.state().to_json());
        unbroken.push_back(flatten(loader.next()));
      }
    }
    for (int trial = 0; trial < 12; ++trial) {
      const size_t at = random() % 40;
      Loader loader(data, shape, 11, LoaderState::from_json(states[at], "loader.json"));
      for (size_t step = at; step < 40; ++step) {
        ASSERT_EQ(flatten(loader.next()), unbroken[step]) << "from " << at << " at " << step;
      }
    }
  }
}

TEST_F(LoaderTest, ResumesWithAnotherBatchAndOtherRanks) {
  const Dataset data = dataset();
  Loader before(data, {.batch = 6, .microbatch = 3}, 1);
  for (int i = 0; i < 4; ++i) before.next();
  Loader after(data, {.batch = 4, .microbatch = 4}, 1, before.state());
  const BatchMaker maker = data.shuffled({.batch = 4, .microbatch = 4}, 1);
  StepBatch expected = maker.reserve();
  maker.make(24, expected);
  EXPECT_EQ(flatten(after.next()), flatten(expected));
  EXPECT_EQ(after.state().rows, 28);
}

TEST_F(LoaderTest, StateSaysWhereItStands) {
  const Dataset data = dataset();
  Loader loader(data, {.batch = 5, .microbatch = 5}, 9);
  EXPECT_EQ(loader.state().rows, 0);
  for (int64_t i = 0; i < data.rows(); ++i) loader.next();  // five epochs
  loader.next();
  const LoaderState state = loader.state();
  EXPECT_EQ(state.epoch, 5);
  EXPECT_EQ(state.position, 5);
  EXPECT_EQ(LoaderState::from_json(state.to_json(), "x"), state);
  EXPECT_LT(state.to_json().size(), 200u);
}

TEST_F(LoaderTest, RefusesToResumeOnAnotherExperiment) {
  const Dataset data = dataset();
  const BatchShape shape{.batch = 2, .microbatch = 2};
  const LoaderState state = Loader(data, shape, 1).state();
  EXPECT_THAT(error_of([&] { Loader(data, shape, 2, state); }),
              StartsWith("resume: the checkpoint was made with train.seed=1, now it is 2"));
  const Dataset blended = dataset({1, 2});
  EXPECT_THAT(error_of([&] { Loader(blended, shape, 1, state); }),
              StartsWith("resume: the data, its tokenizer, weights, packing or train.seq"));
  const auto bad = [](const char* text) {
    return error_of([&] { LoaderState::from_json(text, "ck/loader.json"); });
  };
  EXPECT_THAT(bad("{}"), HasSubstr("ck/loader.json: "));
  EXPECT_THAT(bad("{\"rows\":"), StartsWith("ck/loader.json:1:"));
  EXPECT_THAT(bad(R"({"rows": -1, "epoch": 0, "position": 0, "seed": 1, "data": "a"})"),
              HasSubstr("-1 is negative"));
  EXPECT_THAT(bad(R"({"rows": 1, "epoch": 0, "position": 0, "seed": 1, "data": "xyz"})"),
              HasSubstr("not a hexadecimal number"));
}

TEST_F(LoaderTest, WeightsDecideTheSharesOfRows) {
  const Dataset data = dataset({7, 3});
  const int64_t second = data.sources()[0]->tokens();  // the first token of the second source
  Loader loader(data, {.batch = 10, .microbatch = 10}, 4);
  int64_t from_second = 0;
  for (int step = 0; step < 200; ++step) {
    const Batch& batch = loader.next().microbatches[0];
    for (int64_t row = 0; row < 10; ++row) {
      from_second += batch.tokens[static_cast<size_t>(row * kSeq)] >= second;
    }
  }
  EXPECT_NEAR(static_cast<double>(from_second) / 2000, 0.3, 0.003);
}

TEST_F(LoaderTest, ValidationGoesOnceThroughAllInOrder) {
  const Dataset data = dataset({5, 1});  // weights do not matter here
  const BatchMaker maker = data.in_order({.batch = 7, .microbatch = 7});
  EXPECT_EQ(maker.steps(), (data.rows() + 6) / 7);
  StepBatch step = maker.reserve();
  int64_t counted = 0, expected = 0;
  int32_t last = -1;
  for (int64_t s = 0; s < maker.steps(); ++s) {
    maker.make(s * 7, step);
    const Flat flat = flatten(step);
    EXPECT_EQ(flat.counted, flat.valid_tokens);
    counted += flat.counted;
    for (size_t i = 0; i < flat.tokens.size(); ++i) {
      if (flat.targets[i] < 0) continue;
      EXPECT_GT(flat.tokens[i], last);
      last = flat.tokens[i];
    }
  }
  for (size_t s = 0; s < 2; ++s) {
    const TokenSet& source = *data.sources()[s];
    expected += source.count(1, source.tokens());
  }
  EXPECT_EQ(counted, expected);
}

TEST_F(LoaderTest, NothingIsAllocatedAfterTheFirstTurn) {
  if (!ashlar::testing::counts_heap_calls()) {
    GTEST_SKIP() << "the sanitizer has a malloc of its own";
  }
  for (const Packing packing : {Packing::kStream, Packing::kDocuments}) {
    const Dataset data = dataset({2, 1}, packing, true);
    Loader loader(data, {.batch = 8, .microbatch = 2}, 4);
    for (int i = 0; i < 4; ++i) loader.next();
    const int64_t before = ashlar::testing::heap_calls();
    for (int i = 0; i < 100; ++i) loader.next();
    EXPECT_EQ(ashlar::testing::heap_calls(), before);
  }
}

TEST_F(LoaderTest, SequencesStayWithinTheirBound) {
  for (const bool isolate : {false, true}) {
    const Dataset data = dataset({}, Packing::kStream, isolate);
    const BatchMaker maker = data.in_order({.batch = 4, .microbatch = 4});
    StepBatch step = maker.reserve();
    int64_t most = 0;
    for (int64_t s = 0; s < maker.steps(); ++s) {
      maker.make(s * 4, step);
      most = std::max(most, step.microbatches[0].sequences());
    }
    EXPECT_LE(most, 4 * data.seq());
    EXPECT_GE(most, isolate ? 8 : 4);
  }
}

TEST_F(LoaderTest, AnErrorWhileMakingABatchReachesTheTrainer) {
  std::vector<TokenSet> sources;
  std::vector<uint16_t> tokens(100, 1);
  tokens[70] = 5000;  // the vocabulary ends at 1000
  sources.push_back(sets_.bare(tokens));
  const Dataset data(std::move(sources), {}, Packing::kStream, std::nullopt, kSeq);
  Loader loader(data, {.batch = 1, .microbatch = 1}, 0);
  const std::string error = error_of([&] {
    for (int64_t i = 0; i < 2 * data.rows(); ++i) loader.next();
  });
  EXPECT_THAT(error, HasSubstr("token 5000 at 70 is beyond the vocabulary of 1000"));
  EXPECT_EQ(error_of([&] { loader.next(); }), error);  // and stays
}

TEST_F(LoaderTest, RefusesBatchesThatDoNotDivide) {
  const auto error = [](const BatchShape& shape) { return error_of([&] { shape.validate(); }); };
  EXPECT_EQ(error({.batch = 10, .microbatch = 4, .seq = 1}),
            "config train.batch: 10 sequences do not divide into microbatches of 4 on 1 rank; the "
            "nearest that does is 12");
  EXPECT_THAT(error({.batch = 13, .microbatch = 2, .ranks = 3, .seq = 1}),
              HasSubstr("on 3 ranks; the nearest that does is 12"));
  EXPECT_THAT(error({.batch = 1, .microbatch = 4, .seq = 1}), HasSubstr("nearest that does is 4"));
  EXPECT_THAT(error({.batch = 0, .seq = 1}), HasSubstr("train.batch: 0 is not positive"));
  EXPECT_THAT(error({.seq = 0}), HasSubstr("train.seq: 0 is not positive"));
  EXPECT_THAT(error({.batch = 1 << 20, .microbatch = 1 << 20, .seq = 4096}),
              HasSubstr("more than 2^31 tokens"));
}

}  // namespace
}  // namespace ashlar::data
