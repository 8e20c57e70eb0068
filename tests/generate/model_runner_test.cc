// The model runner against the greedy goldens, for every chunk size; its limits and allocations.
#include "ashlar/base/cpu.h"
#include "ashlar/base/error.h"
#include "ashlar/base/json.h"
#include "tests/base/heap_calls.h"
#include "tests/base/messages.h"
#include "tests/base/paths.h"
#include "tests/generate/feed.h"
#include "tests/generate/random_model.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace ashlar::generate {
namespace {

using nlohmann::json;
using testing::error_of;
using testing::Feed;
using testing::random_runner;

// ---------------------------------------------------------------- goldens
class GreedyGolden : public ::testing::TestWithParam<const char*> {
 protected:
  std::string folder_ = test_data("models/") + GetParam();
  bundle::Bundle bundle_ = bundle::Bundle::open(folder_);
  json golden_ = read_json<json>(folder_ + "/golden.json").at("generate");
  ThreadPool pool_{2};

  std::unique_ptr<ModelRunner> open(RunnerLimits limits, int64_t blocks) {
    ModelOptions options;
    options.limits = limits;
    options.blocks = blocks;
    return open_model(bundle_, options, kernels::kernel_table(best_isa_tier()), pool_);
  }
};

int32_t largest(std::span<const float> logits) {
  return static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
}

// All prompts in one batch, each prefilled in chunks, then decoding together.
TEST_P(GreedyGolden, IdenticalForEveryChunkSize) {
  for (const int64_t chunk : {256, 1, 3, 16, 17}) {
    auto runner = open({.tokens = 256, .seqs = 8, .outputs = 8}, 64);
    KvPool pool(runner->blocks());
    std::vector<Feed> feeds;
    for (const json& entry : golden_) {
      feeds.push_back({entry.at("prompt_ids").get<std::vector<int32_t>>(), BlockTable(pool, {})});
    }
    std::vector<std::vector<int32_t>> found(feeds.size());
    while (found.back().size() < 24 || found.front().size() < 24) {
      std::vector<SequencePiece> batch;
      std::vector<size_t> owners;
      for (size_t i = 0; i < feeds.size(); ++i) {
        if (feeds[i].left() == 0) continue;
        const int64_t count = std::min(feeds[i].left(), chunk);
        batch.push_back(feeds[i].piece(count, count == feeds[i].left() ? 1 : 0));
        owners.push_back(i);
      }
      const Logits logits = runner->run(batch);
      int64_t row = 0;
      for (size_t b = 0; b < batch.size(); ++b) {
        if (batch[b].outputs == 0) continue;
        const int32_t token = largest(logits.row(row++));
        found[owners[b]].push_back(token);
        if (found[owners[b]].size() < 24) feeds[owners[b]].tokens.push_back(token);
      }
    }
    for (size_t i = 0; i < feeds.size(); ++i) {
      EXPECT_EQ(found[i], golden_[i].at("greedy_ids").get<std::vector<int32_t>>())
          << "chunk " << chunk << ", prompt " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GreedyGolden, ::testing::Values("gpt2", "llama", "llama2"));

// ---------------------------------------------------------------- limits
TEST(ModelRunner, SharesTheWeightsOfTheStoreItCameFrom) {
  const models::DecoderConfig config = testing::random_model_config({});
  ModelOptions options;
  options.limits = {.tokens = 8, .seqs = 1, .outputs = 1};
  options = resolve(options, config);
  graph::Graph graph = build_serving_graph(config, options);
  runtime::VariableStore weights = testing::random_weights(graph, 1);
  ThreadPool pool(1);
  ModelRunner runner(std::move(graph), options.limits, weights,
                     kernels::kernel_table(best_isa_tier()), pool);
  EXPECT_FALSE(weights.contains("layers.0.kv.k")) << "the cache is the runner's own";
  KvPool blocks(runner.blocks());
  const auto logits = [&] {
    Feed feed{{1, 2, 3}, BlockTable(blocks, {})};
    const SequencePiece piece = feed.piece(3, 1);
    const std::span<const float> row = runner.run({&piece, 1}).row(0);
    return std::vector<float>(row.begin(), row.end());
  };
  const std::vector<float> before = logits();
  for (float& value : weights.at("head.weight").span<float>()) value *= 2;
  const std::vector<float> after = logits();
  for (size_t i = 0; i < before.size(); ++i) EXPECT_EQ(after[i], 2 * before[i]);
}

TEST(ModelRunner, NamesAWeightThatIsMissing) {
  const models::DecoderConfig config = testing::random_model_config({});
  const ModelOptions options = resolve({}, config);
  graph::Graph graph = build_serving_graph(config, options);
  runtime::VariableStore weights = testing::random_weights(graph, 1);
  weights.erase("layers.1.attn.q.weight");
  ThreadPool pool(1);
  EXPECT_EQ(error_of([&] {
              ModelRunner(std::move(graph), options.limits, weights,
                          kernels::kernel_table(best_isa_tier()), pool);
            }),
            "model runner: weight layers.1.attn.q.weight is not in the store");
}

TEST(ModelRunner, RefusesWhatIsBeyondItsLimits) {
  ThreadPool threads(1);
  ModelOptions options;
  options.limits = {.tokens = 8, .seqs = 1, .outputs = 4, .context = 20};
  options.blocks = 4;
  const auto runner = random_runner({}, options, threads);
  EXPECT_EQ(runner->max_context(), 20);
  const std::vector<int32_t> blocks = {0, 1};
  const auto run = [&](std::vector<int32_t> tokens, int64_t position, int64_t outputs) {
    const SequencePiece piece{tokens, position, blocks, outputs};
    return error_of([&] { runner->run({&piece, 1}); });
  };
  EXPECT_EQ(run({1, 2}, 0, 1), "(no error)");
  EXPECT_EQ(run({1, 97}, 0, 1), "token id 97 is outside the vocabulary of 97 tokens");
  EXPECT_EQ(run({-1}, 0, 1), "token id -1 is outside the vocabulary of 97 tokens");
  EXPECT_EQ(run({1, 2}, 19, 1), "model runner: position 20 is beyond the context of 20 tokens");
  EXPECT_EQ(run(std::vector<int32_t>(9, 1), 0, 1),
            "model runner: 9 tokens, 1 sequences, 1 rows of logits in a step; room is for 8, 1, 4");
  EXPECT_EQ(run({1}, 0, 2), "model runner: 2 rows of logits of 1 tokens");
  ModelOptions beyond;
  beyond.limits.context = 257;
  EXPECT_EQ(error_of([&] { random_runner({}, beyond, threads); }),
            "context: 257 tokens asked for, the model has positions for 256; ask for at most 256");
}

// The first run comes before any packing, each further one packs a weight or more, and one of many
// rows all that are left; no bit depends on it.
TEST(ModelRunner, PacksBetweenTheFirstRuns) {
  ThreadPool threads(2);
  for (const int64_t experts : {0, 3}) {
    for (const DType dtype : {DType::kQ8_0, DType::kQ4_0, DType::kQ4K, DType::kQ6K}) {
      ModelOptions options;
      options.limits = {.tokens = 128, .seqs = 1, .outputs = 1};
      options.set_dtype(dtype);
      const testing::RandomModelSizes sizes = {.width = 256, .ffn = 512, .experts = experts};
      const auto packed = random_runner(sizes, options, threads);
      EXPECT_TRUE(packed->is_packed());
      options.pack_later = true;
      for (const std::vector<int64_t>& runs :
           {std::vector<int64_t>(40, 1), std::vector<int64_t>{7, 1, 97}}) {
        const auto later = random_runner(sizes, options, threads);
        KvPool pool(later->blocks());
        Feed feed{std::vector<int32_t>(105, 5), BlockTable(pool, {})};
        for (size_t i = 0; i < feed.tokens.size(); ++i) feed.tokens[i] = int32_t(i * 7 % 97);
        bool first = true;
        for (const int64_t count : runs) {
          const SequencePiece piece = feed.piece(count, 1);
          const Logits logits = later->run({&piece, 1});
          EXPECT_FALSE(std::exchange(first, false) && later->is_packed());
          const std::span<const float> row = logits.row(0),
                                       wanted = packed->run({&piece, 1}).row(0);
          ASSERT_TRUE(std::ranges::equal(row, wanted)) << name(dtype) << " " << experts;
        }
        EXPECT_TRUE(later->is_packed());
      }
    }
  }
}

TEST(ModelRunner, ARunAllocatesNothing) {
  if (!testing::counts_heap_calls()) GTEST_SKIP() << "the sanitizer has a malloc of its own";
  ThreadPool threads(2);
  ModelOptions options;
  options.limits = {.tokens = 64, .seqs = 4, .outputs = 8};
  options.blocks = 64;
  const auto runner = random_runner({}, options, threads);
  const std::vector<int32_t> tokens(40, 5), blocks = {3, 1, 2, 0}, others = {9, 8, 7, 6};
  int64_t before = 0;
  for (int step = 0; step < 12; ++step) {
    if (step == 3) before = testing::heap_calls();
    const auto count = static_cast<size_t>(1 + step * 3);
    const SequencePiece batch[] = {{std::span(tokens).first(count), 0, blocks, step % 2},
                                   {std::span(tokens).first(1 + count / 2), 7, others, 1}};
    runner->run(std::span(batch).first(step % 3 == 0 ? 1 : 2));
  }
  EXPECT_EQ(testing::heap_calls() - before, 0);
}

}  // namespace
}  // namespace ashlar::generate
