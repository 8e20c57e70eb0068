// The plain decode loop.
#include "ashlar/generate/generator.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/error.h"
#include "ashlar/base/json.h"
#include "tests/base/messages.h"
#include "tests/base/paths.h"
#include "tests/generate/random_model.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace ashlar::generate {
namespace {

using nlohmann::json;
using testing::error_of;

class GeneratorTest : public ::testing::Test {
 protected:
  GeneratorTest() { greedy_.sampling.temperature = 0; }

  std::string folder_ = test_data("models/llama");
  bundle::Bundle bundle_ = bundle::Bundle::open(folder_);
  text::Tokenizer tokenizer_ = bundle_.load_tokenizer();
  json golden_ = read_json<json>(folder_ + "/golden.json").at("generate");
  ThreadPool pool_{2};
  std::unique_ptr<ModelRunner> runner_ =
      open_model(bundle_, {.limits = {.tokens = 20, .seqs = 1, .outputs = 1}},
                 kernels::kernel_table(best_isa_tier()), pool_);
  Generator generator_{*runner_, &tokenizer_};
  GenerateOptions greedy_;

  std::vector<int32_t> prompt(size_t i) const { return golden_[i].at("prompt_ids"); }
  std::vector<int32_t> wanted(size_t i) const { return golden_[i].at("greedy_ids"); }
};

TEST_F(GeneratorTest, GreedyIdsAreTheGoldenOnes) {
  greedy_.max_new = 24;
  greedy_.ignore_end_tokens = true;
  for (size_t i = 0; i < golden_.size(); ++i) {
    const Generated result = generator_.generate(prompt(i), greedy_);
    EXPECT_EQ(result.ids, wanted(i));
    EXPECT_EQ(result.reason, StopReason::kLength);
    EXPECT_EQ(result.text, tokenizer_.decode(result.ids, true));
  }
}

TEST_F(GeneratorTest, ARepeatedPromptIsFoundInTheCache) {
  greedy_.max_new = 24;
  const auto length = static_cast<int64_t>(prompt(0).size());
  EXPECT_EQ(generator_.generate(prompt(0), greedy_).cached_tokens, 0);
  const Generated again = generator_.generate(prompt(0), greedy_);
  EXPECT_EQ(again.cached_tokens, (length - 1) / 16 * 16);
  EXPECT_EQ(again.ids, wanted(0));
  generator_.weights_changed();
  EXPECT_EQ(generator_.generate(prompt(0), greedy_).cached_tokens, 0);
}

TEST_F(GeneratorTest, StopsAtEndTokensUnlessToldOtherwise) {
  greedy_.max_new = 10;
  greedy_.end_tokens = {7, wanted(0)[4]};
  const Generated stopped = generator_.generate(prompt(0), greedy_);
  EXPECT_EQ(stopped.reason, StopReason::kEndToken);
  EXPECT_EQ(stopped.ids.size(), 5u);
  EXPECT_EQ(stopped.text, tokenizer_.decode(std::span(stopped.ids).first(4), true));
  greedy_.ignore_end_tokens = true;
  EXPECT_EQ(generator_.generate(prompt(0), greedy_).ids.size(), 10u);
}

TEST_F(GeneratorTest, StopsBeforeAStopString) {
  greedy_.max_new = 24;
  const std::string whole = generator_.generate(prompt(1), greedy_).text;
  const size_t middle = whole.find_first_not_of("\xEF\xBF\xBD", whole.size() / 2);
  greedy_.stop = {whole.substr(middle, 2)};
  std::string streamed;
  const Generated result =
      generator_.generate(prompt(1), greedy_, [&](int32_t, const std::string& text) {
        streamed += text;
        return true;
      });
  EXPECT_EQ(result.reason, StopReason::kStopString);
  EXPECT_EQ(result.text, whole.substr(0, whole.find(greedy_.stop[0])));
  EXPECT_EQ(streamed, result.text);
}

TEST_F(GeneratorTest, TheCallbackSeesAllAndMayEndIt) {
  greedy_.max_new = 24;
  std::vector<int32_t> ids;
  std::string text;
  const Generated whole = generator_.generate(prompt(2), greedy_, [&](int32_t id, const auto& t) {
    ids.push_back(id);
    text += t;
    return true;
  });
  EXPECT_EQ(ids, wanted(2));
  EXPECT_EQ(text, whole.text);
  const Generated cut =
      generator_.generate(prompt(2), greedy_, [&](int32_t, const auto&) { return false; });
  EXPECT_EQ(cut.reason, StopReason::kCancelled);
  EXPECT_EQ(cut.ids.size(), 1u);
}

TEST_F(GeneratorTest, GoesOnUntilTheContextIsFull) {
  const Generated result = generator_.generate(prompt(0), greedy_);
  EXPECT_EQ(result.reason, StopReason::kLength);
  EXPECT_EQ(static_cast<int64_t>(prompt(0).size() + result.ids.size()), runner_->max_context());
}

TEST_F(GeneratorTest, ASeedGivesTheSameTextAgain) {
  GenerateOptions options;
  options.max_new = 20;
  options.sampling.seed = 5;
  options.sampling.top_p = 0.95;
  const auto first = generator_.generate(prompt(0), options).ids;
  EXPECT_EQ(generator_.generate(prompt(0), options).ids, first);
  options.sampling.seed = 6;
  EXPECT_NE(generator_.generate(prompt(0), options).ids, first);
}

TEST_F(GeneratorTest, RefusesWhatCannotBe) {
  EXPECT_EQ(error_of([&] { generator_.generate({}, greedy_); }),
            "the prompt is empty; give at least one token");
  EXPECT_EQ(error_of([&] { generator_.generate(std::vector<int32_t>(256, 1), greedy_); }),
            "the prompt has 256 tokens, the context 256: no room for a new one; shorten the "
            "prompt");
  EXPECT_EQ(error_of([&] { generator_.generate(std::vector<int32_t>{512}, greedy_); }),
            "token id 512 is outside the vocabulary of 512 tokens");
  greedy_.stop = {"x"};
  Generator no_text(*runner_);
  EXPECT_EQ(error_of([&] { no_text.generate(prompt(0), greedy_); }),
            "stop strings need a tokenizer, and this model has none");
}

}  // namespace
}  // namespace ashlar::generate
