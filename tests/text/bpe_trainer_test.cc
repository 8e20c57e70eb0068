#include "ashlar/text/training/bpe_trainer.h"

#include "ashlar/base/error.h"
#include "ashlar/text/byte_chars.h"
#include "tests/base/paths.h"
#include "tests/text/random_text.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <map>

namespace ashlar::text {
namespace {

using testing::HasSubstr;
using Merges = std::vector<std::pair<std::string, std::string>>;

Merges merges_of(const Tokenizer& tokenizer) {
  return nlohmann::json::parse(tokenizer.json()).at("model").at("merges").get<Merges>();
}

// The definition: count all pairs of all words anew for every merge.
Merges learn_naively(const BpeTrainOptions& options, const std::string& text) {
  std::map<std::string, int> ids;
  std::map<std::string, int64_t> counts;
  for (size_t at = 0; at < text.size();) {
    const size_t length = match_word(options.pattern, std::string_view(text).substr(at));
    ++counts[text.substr(at, length)];
    at += length;
  }
  std::vector<std::pair<std::vector<std::string>, int64_t>> words;
  for (char32_t c = 0; c < 0x200; ++c) {
    if (const int byte = char_byte(c); byte >= 0) {
      std::string token;
      const char one = static_cast<char>(byte);
      append_byte_chars(token, {&one, 1});
      ids.emplace(token, static_cast<int>(ids.size()));
    }
  }
  for (const auto& [word, count] : counts) {
    words.emplace_back();
    words.back().second = count;
    for (const char& byte : word) append_byte_chars(words.back().first.emplace_back(), {&byte, 1});
  }
  Merges merges;
  while (ids.size() < static_cast<size_t>(options.vocab_size)) {
    std::map<std::pair<int, int>, int64_t> pairs;
    std::map<int, std::string> names;
    for (const auto& [token, id] : ids) names[id] = token;
    for (const auto& [word, count] : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) {
        pairs[{ids.at(word[i]), ids.at(word[i + 1])}] += count;
      }
    }
    auto best = pairs.end();
    for (auto pair = pairs.begin(); pair != pairs.end(); ++pair) {
      if (best == pairs.end() || pair->second > best->second) best = pair;
    }
    if (best == pairs.end() || best->second < options.min_frequency) break;
    const std::string left = names.at(best->first.first);
    const std::string right = names.at(best->first.second);
    merges.emplace_back(left, right);
    ids.emplace(left + right, static_cast<int>(ids.size()));
    for (auto& [word, count] : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) {
        if (word[i] != left || word[i + 1] != right) continue;
        word[i] += right;
        word.erase(word.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return merges;
}

Tokenizer train(const BpeTrainOptions& options, std::string_view text) {
  return train_bpe(options, {&text, 1});
}

TEST(BpeTrainer, LearnsWhatTheDefinitionLearns) {
  RandomText random("training");
  for (int round = 0; round < 12; ++round) {
    std::string text;
    for (int i = 0; i < 150; ++i) {
      text += round % 2 == 0 ? random.text(10) : std::string(random.below(9), 'a') + "ab ba ";
    }
    BpeTrainOptions options;
    options.vocab_size = 256 + 60;
    options.min_frequency = 1 + round % 3;
    options.pattern = round % 4 < 2 ? WordPattern::kGpt2 : WordPattern::kLlama3;
    ASSERT_EQ(merges_of(train(options, text)), learn_naively(options, text)) << "round " << round;
  }
}

// tests/oracles/tokenizer_training.py: the reference's trainer on the same text.
TEST(BpeTrainer, LearnsWhatTheReferenceLearns) {
  std::ifstream file(test_data("tokenizers/training.json"));
  for (const auto& golden : nlohmann::json::parse(file)) {
    BpeTrainOptions options;
    options.vocab_size = golden.at("vocab_size").get<int32_t>();
    options.min_frequency = golden.at("min_frequency").get<int64_t>();
    options.special_tokens = golden.at("special_tokens").get<std::vector<std::string>>();
    options.pattern = golden.at("pattern") == "gpt2" ? WordPattern::kGpt2 : WordPattern::kLlama3;
    const auto text = golden.at("text").get<std::string>();
    const Tokenizer tokenizer = train(options, text);
    EXPECT_EQ(merges_of(tokenizer), golden.at("merges").get<Merges>());
    EXPECT_EQ(tokenizer.encode(text, false), golden.at("ids").get<std::vector<int32_t>>());
  }
}

TEST(BpeTrainer, DependsOnTheTextsOnly) {
  RandomText random("order");
  std::vector<std::string> texts;
  for (int i = 0; i < 60; ++i) texts.push_back(random.text(60) + " the then there");
  BpeTrainOptions options;
  options.vocab_size = 400;
  const auto learn = [&](bool backwards) {
    BpeTrainer trainer(options);
    for (size_t i = 0; i < texts.size(); ++i) {
      trainer.feed(texts[backwards ? texts.size() - 1 - i : i]);
    }
    return trainer.train().json();
  };
  EXPECT_EQ(learn(false), learn(true));
}

TEST(BpeTrainer, PutsSpecialTokensFirstAndTheBeginTokenBeforeTexts) {
  BpeTrainOptions options;
  options.vocab_size = 300;
  options.special_tokens = {"<|begin|>", "<|end|>"};
  options.begin_token = "<|begin|>";
  options.min_frequency = 1;
  // The text spells a special token; it may not be learnt as text.
  const std::string text = [] {
    std::string out;
    for (int i = 0; i < 200; ++i) out += "<|end|> <|end|>x low lower lowest ";
    return out;
  }();
  const Tokenizer tokenizer = train(options, text);
  EXPECT_EQ(tokenizer.special_ids(), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(tokenizer.encode("low<|end|>", true).front(), 0);
  EXPECT_EQ(tokenizer.encode("low<|end|>", true).back(), 1);
  for (const auto& [left, right] : merges_of(tokenizer)) EXPECT_NE(left + right, "<|end|>");
  const auto ids = tokenizer.encode(text, false);
  EXPECT_EQ(tokenizer.decode(ids, false), text);
  EXPECT_LT(ids.size(), text.size() / 2);
}

TEST(BpeTrainer, StopsWhenNoPairIsFrequentEnough) {
  BpeTrainOptions options;
  options.vocab_size = 1000;
  options.min_frequency = 3;
  EXPECT_EQ(merges_of(train(options, "ab ab ab xy xy")), (Merges{{"a", "b"}}));
  EXPECT_TRUE(merges_of(train(options, "ab ab")).empty());
  EXPECT_EQ(train(options, "").vocab_size(), 256);
}

TEST(BpeTrainer, ReportsProgress) {
  BpeTrainOptions options;
  options.vocab_size = 266;
  options.min_frequency = 1;
  std::vector<BpeTrainProgress> reports;
  const std::string_view text = "some text to learn from, some more text";
  train_bpe(options, {&text, 1},
            [&](const BpeTrainProgress& progress) { reports.push_back(progress); });
  ASSERT_GE(reports.size(), 2u);
  EXPECT_EQ(reports.front().tokens, 256);
  EXPECT_EQ(reports.back().tokens, 266);
  EXPECT_EQ(reports.back().vocab_size, 266);
  EXPECT_EQ(reports.back().bytes_read, static_cast<int64_t>(text.size()));
}

TEST(BpeTrainer, TakesAnyBytes) {
  RandomText random("bytes to learn from");
  BpeTrainOptions options;
  options.vocab_size = 300;
  BpeTrainer trainer(options);
  for (int i = 0; i < 200; ++i) trainer.feed(random.bytes(40));
  const Tokenizer tokenizer = trainer.train();
  const std::string bytes = random.bytes(40);
  EXPECT_EQ(tokenizer.decode_bytes(tokenizer.encode(bytes, false), false), bytes);
}

TEST(BpeTrainer, RefusesOptionsThatDoNotFit) {
  const auto message = [](auto change) {
    BpeTrainOptions options;
    change(options);
    try {
      BpeTrainer trainer(options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no Error");
  };
  EXPECT_THAT(message([](auto& o) { o.vocab_size = 255; }), HasSubstr("vocab_size 255"));
  EXPECT_THAT(message([](auto& o) { o.min_frequency = 0; }), HasSubstr("min_frequency 0"));
  EXPECT_THAT(message([](auto& o) { o.special_tokens = {""}; }), HasSubstr("is empty"));
  EXPECT_THAT(message([](auto& o) { o.special_tokens = {"a"}; }), HasSubstr("a single byte's"));
  EXPECT_THAT(message([](auto& o) { o.special_tokens = {"<s>", "<s>"}; }), HasSubstr("twice"));
  EXPECT_THAT(message([](auto& o) { o.begin_token = "<s>"; }), HasSubstr("begin_token \"<s>\""));
}

}  // namespace
}  // namespace ashlar::text
