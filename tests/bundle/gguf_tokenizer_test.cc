// Tokenizers inside GGUF files, against ids that llama.cpp gave.
#include "ashlar/bundle/gguf_tokenizer.h"

#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/bundle/sentencepiece_model.h"
#include "tests/base/messages.h"
#include "tests/base/paths.h"
#include "tests/base/shared_data.h"
#include "tests/bundle/vocabulary_sweep.h"
#include "tests/text/streamed.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace ashlar::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

text::Tokenizer tokenizer_of(const formats::GgufMetadata& metadata) {
  return text::Tokenizer::from_json(bundle::tokenizer_json(metadata), "t");
}

formats::GgufMetadata small(const char* model, std::vector<std::string> tokens,
                            std::vector<int64_t> kinds) {
  formats::GgufMetadata metadata("t");
  metadata.set("tokenizer.ggml.model", model);
  metadata.set_texts("tokenizer.ggml.tokens", std::move(tokens));
  metadata.set_i32s("tokenizer.ggml.token_type", std::move(kinds));
  return metadata;
}

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0;;) {
    const size_t end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end == std::string::npos ? end : end - begin));
    if (end == std::string::npos) return parts;
    begin = end + separator.size();
  }
}

// Texts between lines `__ggml_vocab_test__`, and the ids of each on a line.
TEST(GgufTokenizer, VocabulariesOfLlamaCpp) {
  const std::string folder = shared_data("fixtures/tokenizers");
  if (!is_directory(folder)) GTEST_SKIP() << "the shared fixtures are not here";
  int files = 0;
  for (const std::string& name : list_directory(folder)) {
    if (!name.ends_with(".gguf")) continue;
    ++files;
    const std::string path = join_path(folder, name);
    const text::Tokenizer tokenizer = bundle::open_tokenizer(path);
    std::vector<std::string> texts = split(read_file(path + ".inp"), "\n__ggml_vocab_test__\n");
    std::vector<std::string> lines = split(read_file(path + ".out"), "\n");
    if (lines.back().empty()) lines.pop_back();
    if (texts.size() > lines.size() && texts.back().empty()) texts.pop_back();
    ASSERT_EQ(texts.size(), lines.size()) << name;
    EXPECT_GE(texts.size(), 46u);
    for (size_t i = 0; i < texts.size(); ++i) {
      const std::string ids = fmt::format("{}", fmt::join(tokenizer.encode(texts[i], false), " "));
      const size_t first = lines[i].find_first_not_of(' ');
      EXPECT_EQ(ids, first == std::string::npos ? "" : lines[i].substr(first))
          << name << ": " << texts[i];
    }
    text::RandomText random(name);
    for (int round = 0; round < 100; ++round) {
      const std::vector<int32_t> ids = text::random_ids(tokenizer, random, 40);
      ASSERT_EQ(text::streamed(tokenizer, ids, false), tokenizer.decode(ids, false)) << name;
    }
  }
  EXPECT_GT(files, 0);
}

// One vocabulary whose merges reach across all borders, cut by every name
// (tests/oracles/gguf_pre_tokenizers.py).
TEST(GgufTokenizer, PreTokenizersCutAsLlamaCpp) {
  const auto golden = nlohmann::json::parse(read_file(test_data("tokenizers/gguf_pre.json")));
  const auto tokenizer_named = [&](const std::string& name) {
    formats::GgufMetadata metadata("t");
    metadata.set("tokenizer.ggml.model", "gpt2");
    metadata.set("tokenizer.ggml.pre", name);
    metadata.set_texts("tokenizer.ggml.tokens", golden["tokens"]);
    metadata.set_texts("tokenizer.ggml.merges", golden["merges"]);
    return tokenizer_of(metadata);
  };
  const auto texts = golden["texts"].get<std::vector<std::string>>();
  int names = 0;
  for (const auto& group : golden["groups"]) {
    for (const std::string name : group["names"]) {
      const text::Tokenizer tokenizer = tokenizer_named(name);
      ++names;
      for (size_t i = 0; i < texts.size(); ++i) {
        EXPECT_EQ(tokenizer.encode(texts[i], false), group["ids"][i].get<std::vector<int32_t>>())
            << name << ": " << texts[i];
      }
    }
  }
  EXPECT_GT(names, 70);
  for (const std::string name : golden["otherwise"]) {  // known, and cut by the model's own pattern
    const text::Tokenizer tokenizer = tokenizer_named(name);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(texts[0], false), false), texts[0]) << name;
  }
}

// Scores, kinds of tokens, ids of special tokens and flags that are there or not.
TEST(GgufTokenizer, VocabulariesDrawnAtRandom) {
  SweepResult result;
  const std::string path = test_data("tokenizers/gguf_vocabularies.json");
  for (const auto& golden : nlohmann::json::parse(read_file(path))) {
    compare_with_llamacpp(golden, result);
  }
  EXPECT_THAT(result.differences, ::testing::IsEmpty());
  EXPECT_GT(result.checked, 250);
}

// Whose file it is says which tokens take white space along.
TEST(GgufTokenizer, FlagsFollowTheModelsName) {
  auto metadata =
      small("llama", {"<unk>", "<s>", "</s>", "\xE2\x96\x81", "a", "<|end|>"}, {2, 3, 4, 1, 1, 3});
  metadata.set_f32s("tokenizer.ggml.scores", {0, 0, 0, -1, -2, 0});
  metadata.set("tokenizer.ggml.add_space_prefix", false);
  EXPECT_THAT(tokenizer_of(metadata).encode("<|end|> a<s> a", false),
              ElementsAre(5, 3, 4, 1, 3, 4));
  metadata.set("general.name", "Phi-3-mini");
  EXPECT_THAT(tokenizer_of(metadata).encode("<|end|> a<s> a", false), ElementsAre(5, 4, 1, 3, 4));
}

// Signs for spaces, merges over a line, bytes for what has no token, runs of line breaks.
TEST(GgufTokenizer, Gemma4MergesOverLines) {
  auto metadata = small("gemma4",
                        {"<pad>", "\xE2\x96\x81", "a", "b",
                         "\xE2\x96\x81"
                         "a",
                         "a\xE2\x96\x81"
                         "a",
                         "\n", "\n\n", "<0xC3>", "<0xA9>"},
                        {3, 1, 1, 1, 1, 1, 1, 1, 6, 6});
  metadata.set_texts("tokenizer.ggml.merges", {"\xE2\x96\x81 a",
                                               "a \xE2\x96\x81"
                                               "a"});
  const text::Tokenizer tokenizer = tokenizer_of(metadata);
  const std::vector<int32_t> ids = tokenizer.encode(
      "a a\n\n\xC3\xA9"
      "b\n\n\n",
      false);
  EXPECT_THAT(ids, ElementsAre(5, 7, 8, 9, 3, 6, 6, 6));
  EXPECT_EQ(tokenizer.decode(ids, false),
            "a a\n\n\xC3\xA9"
            "b\n\n\n");
}

// The merge of the highest score comes first, not the longest or leftmost.
TEST(GgufTokenizer, SentencePieceMergesByScore) {
  auto metadata = small("llama",
                        {"<unk>", "<s>", "</s>", "<0x61>", "<0xC3>", "<0xA9>", "\xE2\x96\x81", "a",
                         "b", "c", "ab", "bc", "abc",
                         "\xE2\x96\x81"
                         "a"},
                        {2, 3, 3, 6, 6, 6, 1, 1, 1, 1, 1, 1, 1, 1});
  metadata.set_f32s("tokenizer.ggml.scores", {0, 0, 0, 0, 0, 0, -9, -9, -9, -9, -5, -4, -3, -1});
  metadata.set_u32("tokenizer.ggml.bos_token_id", 1);
  metadata.set_u32("tokenizer.ggml.eos_token_id", 2);
  metadata.set_u32("tokenizer.ggml.unknown_token_id", 0);
  const text::Tokenizer tokenizer = tokenizer_of(metadata);
  EXPECT_THAT(tokenizer.encode("bab", false), ElementsAre(6, 8, 10));
  EXPECT_THAT(tokenizer.encode("babc", false), ElementsAre(6, 8, 12));  // bc, then a bc
  EXPECT_THAT(tokenizer.encode("abc", false), ElementsAre(13, 11));     // the sign's merge first
  EXPECT_THAT(tokenizer.encode("\xC3\xA9", true), ElementsAre(1, 6, 4, 5));  // by its bytes
  EXPECT_THAT(tokenizer.encode("a</s>a", false), ElementsAre(13, 2, 13));
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{13, 6, 4, 5}, true), "a \xC3\xA9");
  EXPECT_TRUE(tokenizer.encode("", false).empty());
}

TEST(GgufTokenizer, WithoutAPrefixedSpace) {
  auto metadata = small("llama", {"<unk>", "a", "\xE2\x96\x81"}, {2, 1, 1});
  metadata.set_f32s("tokenizer.ggml.scores", {0, -1, -2});
  metadata.set("tokenizer.ggml.add_space_prefix", false);
  metadata.set("tokenizer.ggml.add_bos_token", false);
  EXPECT_THAT(tokenizer_of(metadata).encode("a a", true), ElementsAre(1, 2, 1));
}

TEST(GgufTokenizer, WordPieceOfPhantomSpaces) {
  auto metadata =
      small("bert", {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "\xE2\x96\x81hel", "lo", "\xE2\x96\x81!"},
            {3, 2, 3, 3, 1, 1, 1});
  metadata.set_u32("tokenizer.ggml.cls_token_id", 2);
  metadata.set_u32("tokenizer.ggml.seperator_token_id", 3);
  metadata.set_u32("tokenizer.ggml.unknown_token_id", 1);
  EXPECT_THAT(tokenizer_of(metadata).encode("H\xC3\xA9llo! lo", true),
              ElementsAre(2, 4, 5, 6, 1, 3));
}

TEST(GgufTokenizer, WhatIsWrong) {
  const auto fault = [](const formats::GgufMetadata& metadata) {
    return error_of([&] { tokenizer_of(metadata); });
  };
  EXPECT_EQ(fault(small("rwkv", {"a"}, {1})),
            "t: tokenizer.ggml.model 'rwkv' is not known; known are gpt2, gemma4, llama, bert, t5");
  EXPECT_EQ(fault(small("gpt2", {}, {})), "t: tokenizer.ggml.tokens is missing or empty");
  EXPECT_EQ(fault(small("gpt2", {"a"}, {1, 1})),
            "t: tokenizer.ggml.token_type has 2 entries for 1 tokens");
  auto pre = small("gpt2", {"a"}, {1});
  pre.set("tokenizer.ggml.pre", "new-one");
  EXPECT_THAT(fault(pre),
              HasSubstr("t: tokenizer.ggml.pre 'new-one' is not known; known are defa"));
  EXPECT_EQ(fault(small("llama", {"a"}, {1})),
            "t: tokenizer.ggml.scores has 0 entries for 1 tokens");
  auto twice = small("gpt2", {"a", "b", "a"}, {1, 1, 1});
  twice.set_texts("tokenizer.ggml.merges", {});
  EXPECT_EQ(fault(twice), "t: tokens 0 and 2 are both 'a'");
  EXPECT_EQ(fault(small("llama", {"a", "b\xA5"}, {1, 1})),
            "t: tokenizer.ggml.tokens[1] is not UTF-8 at its byte 1");
  auto merges = small("gpt2", {"a"}, {1});
  merges.set_texts("tokenizer.ggml.merges", {"a \xC3"});
  EXPECT_EQ(fault(merges), "t: tokenizer.ggml.merges[0] is not UTF-8 at its byte 2");
  auto id = small("gpt2", {"a"}, {1});
  id.set_texts("tokenizer.ggml.merges", {});
  id.set_u32("tokenizer.ggml.bos_token_id", 1);
  EXPECT_EQ(fault(id), "t: tokenizer.ggml.bos_token_id is 1, there are 1 tokens");
}

TEST(GgufTokenizer, KindsOfTokensAreIntegers) {
  formats::GgufMetadata metadata("t");
  metadata.set("tokenizer.ggml.model", "gpt2");
  metadata.set_texts("tokenizer.ggml.tokens", {"a"});
  formats::GgufMetadata one = metadata, flags = metadata;
  one.set_u32("tokenizer.ggml.token_type", 1);
  EXPECT_EQ(error_of([&] { tokenizer_of(one); }),
            "t: tokenizer.ggml.token_type is u32, wanted an array of integers");
  flags.add("tokenizer.ggml.token_type",
            {.kind = formats::GgufKind::kBool, .array = true, .integers = {1}});
  EXPECT_EQ(error_of([&] { tokenizer_of(flags); }),
            "t: tokenizer.ggml.token_type is an array of bool, wanted an array of integers");
}

TEST(GgufChatFiles, TemplatesAreStrings) {
  formats::GgufMetadata metadata("t");
  metadata.set("tokenizer.chat_template", "{{ 1 }}");
  metadata.set("tokenizer.chat_template.tool_use", "{{ 2 }}");
  metadata.set_texts("tokenizer.chat_templates", {"tool_use"});  // their names
  EXPECT_EQ(bundle::gguf_chat_files(metadata).templates.size(), 2u);
  formats::GgufMetadata number("t"), list("t");
  number.set_u32("tokenizer.chat_template", 1);
  EXPECT_EQ(error_of([&] { bundle::gguf_chat_files(number); }),
            "t: tokenizer.chat_template is u32, wanted a string");
  list.set_texts("tokenizer.chat_template.rag", {"{{ 1 }}"});
  EXPECT_EQ(error_of([&] { bundle::gguf_chat_files(list); }),
            "t: tokenizer.chat_template.rag is an array of string, wanted a string");
}

// tokenizer.model files and the ids of SentencePiece itself.
TEST(SentencePieceModel, IdsOfSentencePiece) {
  const auto golden = read_json<nlohmann::json>(test_data("sentencepiece/golden.json"));
  for (const auto& [name, cases] : golden.items()) {
    const text::Tokenizer tokenizer =
        bundle::open_tokenizer(test_data("sentencepiece/" + name + ".model"));
    for (const auto& entry : cases) {
      const auto ids = entry["ids"].get<std::vector<int32_t>>();
      EXPECT_EQ(tokenizer.encode(entry["text"].get<std::string>(), false), ids)
          << name << ": " << entry["text"];
      std::string decoded = tokenizer.decode(ids, false);
      for (size_t at; (at = decoded.find("<unk>")) != std::string::npos;) {
        decoded.replace(at, 5, " \xE2\x81\x87 ");  // SentencePiece's way to write it
      }
      EXPECT_EQ(decoded, entry["decoded"].get<std::string>()) << name << ": " << entry["text"];
    }
  }
}

// A space goes before the text, not before what follows one of its user's pieces; with `legacy` of
// transformers before that too.
TEST(SentencePieceModel, SpacesBehindItsUsersPieces) {
  constexpr const char* kA = "\u2581a";
  auto metadata = small("llama", {"<unk>", "</s>", "<sep>", "\u2581", "a", kA}, {2, 3, 4, 1, 1, 1});
  metadata.set_f32s("tokenizer.ggml.scores", {0, 0, 0, -2, -3, -1});
  metadata.set_u32("tokenizer.ggml.unknown_token_id", 0);
  metadata.set(bundle::kSpaceAsSuffix, false);
  const auto ids = [&](const char* text) { return tokenizer_of(metadata).encode(text, false); };
  EXPECT_THAT(ids("a<sep>a"), ElementsAre(5, 2, 4));
  EXPECT_THAT(ids("a <sep> a"), ElementsAre(5, 3, 2, 5));
  EXPECT_THAT(ids("a</s>a"), ElementsAre(5, 1, 4));
  metadata.set(bundle::kSpaceBehindTokens, true);
  EXPECT_THAT(ids("a</s>a"), ElementsAre(5, 1, 5));
}

TEST(SentencePieceModel, CutAndDamaged) {
  const std::string bytes = read_file(test_data("sentencepiece/bpe.model"));
  const auto fault = [](const std::string& text) {
    return error_of([&] { bundle::parse_sentencepiece_model(text, "m"); });
  };
  EXPECT_EQ(fault(bytes), "(no error)");
  EXPECT_EQ(fault(""), "m: is no SentencePiece model: it has no pieces");
  EXPECT_EQ(fault(bytes.substr(0, 20)), "m: is no SentencePiece model, or is cut short");
  EXPECT_EQ(fault("{}"), "m: is no SentencePiece model: field 15 has wire type 3");
  EXPECT_EQ(
      fault("\n\x03\n\x01"
            "a\x12\x02\x18\x07"),
      "m: model type 7 is not known; known are Unigram (1), BPE (2), words (3) and characters "
      "(4)");
  for (size_t at = 0; at < bytes.size(); at += 7) {  // nothing but errors comes of damage
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x85);
    fault(damaged);
  }
}

// Every pattern compiles.
TEST(GgufTokenizer, PreTokenizersByName) {
  for (const std::string& name : split(bundle::known_pre_tokenizers(), ", ")) {
    auto metadata = small("gpt2", {"a", "b"}, {1, 1});
    metadata.set("tokenizer.ggml.pre", name);
    metadata.set_texts("tokenizer.ggml.merges", {});
    EXPECT_THAT(tokenizer_of(metadata).encode("ab", false), ElementsAre(0, 1)) << name;
  }
}

}  // namespace
}  // namespace ashlar::testing
