// LongRoPE: keys of a sequence that becomes long are computed anew, and no chunk is short in a long
// text.
#include "ashlar/generate/generator.h"
#include "tests/generate/random_model.h"

#include <gtest/gtest.h>

namespace ashlar::testing {
namespace {

using generate::Generator;

constexpr int64_t kShort = 40;  // tokens

std::unique_ptr<generate::ModelRunner> runner(int64_t rows, ThreadPool& pool) {
  return random_runner({.max_positions = 128, .short_positions = kShort},
                       {.limits = {.tokens = rows, .seqs = 1, .outputs = 1}}, pool);
}

std::vector<int32_t> prompt(int64_t length) {
  std::vector<int32_t> ids(static_cast<size_t>(length));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(5 + i * i * 7 % 90);
  return ids;
}

generate::GenerateOptions greedy(int64_t tokens) {
  generate::GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_new = tokens;
  options.ignore_end_tokens = true;
  return options;
}

// Each token from the whole text at once, by a model that has seen nothing before.
std::vector<int32_t> one_by_one(std::vector<int32_t> ids, int64_t tokens, ThreadPool& pool) {
  const auto whole = runner(128, pool);
  const size_t length = ids.size();
  for (int64_t i = 0; i < tokens; ++i) {
    Generator fresh(*whole, nullptr);
    ids.push_back(fresh.generate(ids, greedy(1)).ids.at(0));
  }
  return {ids.begin() + static_cast<std::ptrdiff_t>(length), ids.end()};
}

TEST(LongSequence, ChunksOfALongPromptAreLong) {
  ThreadPool pool(2);
  const auto by_eight = runner(8, pool);
  Generator generator(*by_eight, nullptr);
  EXPECT_EQ(generator.generate(prompt(60), greedy(8)).ids, one_by_one(prompt(60), 8, pool));
  // What a long text left in the cache is none of a short one's.
  EXPECT_EQ(generator.generate(prompt(32), greedy(4)).ids, one_by_one(prompt(32), 4, pool));
  EXPECT_EQ(generator.generate(prompt(60), greedy(8)).cached_tokens, 48);
}

TEST(LongSequence, ATextThatBecomesLongIsComputedAnew) {
  ThreadPool pool(2);
  const auto by_eight = runner(8, pool);
  Generator generator(*by_eight, nullptr);
  const std::vector<int32_t> found = generator.generate(prompt(33), greedy(20)).ids;
  EXPECT_EQ(found, one_by_one(prompt(33), 20, pool));
  EXPECT_EQ(generator.generate(prompt(33), greedy(20)).ids, found);  // from the cache
}

}  // namespace
}  // namespace ashlar::testing
