// Unigram tokenizers of tokenizer.json written as GGUF's model t5, and read back.
#include "ashlar/bundle/gguf_unigram.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "ashlar/bundle/convert.h"
#include "ashlar/bundle/gguf_tokenizer.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"
#include "tests/bundle/model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstring>

namespace ashlar::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr const char* kSpace = "\xE2\x96\x81";

// SentencePiece's rules that make these characters spaces: a double-array trie of one level, whose
// leaves share the replacement at 0.
std::vector<int64_t> spaces_of(std::string_view characters) {
  constexpr uint32_t kRoot = 256, kLeaf = 1;
  std::array<uint32_t, 512> units{kRoot << 10, 1u << 31};
  for (const char c : characters) {
    const auto label = static_cast<uint32_t>(c);
    units[kRoot ^ label] = label | 1u << 8 | ((kRoot ^ label ^ kLeaf) << 10);
  }
  const uint32_t size = sizeof units;
  std::string bytes(sizeof size + size, '\0');
  std::memcpy(bytes.data(), &size, sizeof size);
  std::memcpy(bytes.data() + sizeof size, units.data(), size);
  bytes += std::string(" \0", 2);
  std::vector<int64_t> numbers;
  for (const char c : bytes) numbers.push_back(static_cast<unsigned char>(c));
  return numbers;
}

// As gguf_tokenizer.cc writes one.
json document(std::string_view spaces) {
  formats::GgufMetadata metadata("t");
  metadata.set("tokenizer.ggml.model", "t5");
  const auto word = [](const char* text) { return std::string(kSpace) + text; };
  metadata.set_texts("tokenizer.ggml.tokens", {"<s>", "<pad>", "</s>", "<unk>", kSpace, word("a"),
                                               "a", "b", "ab", word("ab"), word("b"), "<mask>"});
  metadata.set_i32s("tokenizer.ggml.token_type", {3, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1, 3});
  metadata.set_f32s("tokenizer.ggml.scores",
                    {0, 0, 0, 0, -2.5, -2.25, -3, -3.5, -4, -4.125, -3.75, 0});
  metadata.set_u32("tokenizer.ggml.bos_token_id", 0);
  metadata.set_u32("tokenizer.ggml.eos_token_id", 2);
  metadata.set_u32("tokenizer.ggml.unknown_token_id", 3);
  metadata.set("tokenizer.ggml.add_bos_token", true);
  metadata.set("tokenizer.ggml.add_space_prefix", true);
  metadata.set("tokenizer.ggml.remove_extra_whitespaces", true);
  if (!spaces.empty()) {
    metadata.set_bytes("tokenizer.ggml.precompiled_charsmap", spaces_of(spaces));
  }
  return json::parse(bundle::tokenizer_json(metadata));
}

const json kMetaspace{
    {"type", "Metaspace"}, {"replacement", kSpace}, {"prepend_scheme", "always"}, {"split", true}};

// As XLM-R and T5 have it.
json by_words(std::string_view spaces) {
  json found = document(spaces);
  found["normalizer"] = spaces.empty() ? json() : found["normalizer"]["normalizers"][0];
  found["pre_tokenizer"] = {{"type", "Sequence"},
                            {"pretokenizers", {{{"type", "WhitespaceSplit"}}, kMetaspace}}};
  found["decoder"] = kMetaspace;
  return found;
}

// As transformers converts other SentencePiece models.
json by_normalizer(std::string_view spaces) {
  json found = by_words(spaces);
  const json strip{{"type", "Strip"}, {"strip_left", false}, {"strip_right", true}};
  const json join{{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", kSpace}};
  found["normalizer"] = {{"type", "Sequence"}, {"normalizers", {found["normalizer"], strip, join}}};
  found["pre_tokenizer"] = kMetaspace;
  return found;
}

class GgufUnigram : public ::testing::Test {
 protected:
  // A model with this tokenizer, through a file.
  void convert(const json& tokenizer) {
    write_model(folder_.path("model"), read_file(model_folder("gpt2") + "/config.json"),
                read_tensors(model_folder("gpt2")));
    write_file(folder_.path("model/tokenizer.json"), tokenizer.dump());
    write_file(folder_.path("model/tokenizer_config.json"),
               R"({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})");
    ThreadPool pool(1);
    bundle::write_gguf_model(bundle::Bundle::open(folder_.path("model")), folder_.path("m.gguf"),
                             bundle::find_quant_mix("q8_0"), pool, [](int64_t, int64_t) {});
  }

  TempDir folder_;
};

TEST_F(GgufUnigram, IdsStayThroughTheFile) {
  for (const json& tokenizer : {document("\t\n\r"), by_words("\t\n\r"), by_normalizer("\t\n\r")}) {
    convert(tokenizer);
    const text::Tokenizer wanted = bundle::open_tokenizer(folder_.path("model")),
                          found = bundle::open_tokenizer(folder_.path("m.gguf"));
    for (const char* text : {"", " ", "ab", " ab  ab a\nb ", "abba\taxxb x", "a<mask> b"}) {
      EXPECT_EQ(found.encode(text, true), wanted.encode(text, true)) << text;
    }
    EXPECT_EQ(wanted.encode("a\tab x", true), (std::vector<int32_t>{0, 5, 9, 4, 3, 2}));
  }
}

TEST_F(GgufUnigram, WhatGgufCannotSay) {
  const auto fault = [&](const json& tokenizer) { return error_of([&] { convert(tokenizer); }); };
  EXPECT_THAT(fault(by_words("")), HasSubstr(R"(its tokenizer: where it cuts is '"\ta\tb\t"')"));
  json bytes = by_words("\t\n\r");
  bytes["model"]["byte_fallback"] = true;
  EXPECT_THAT(fault(bytes), HasSubstr("byte_fallback is 'true'"));
  json two = by_words("\t\n\r");
  two["model"]["vocab"][8][0] = std::string("a") + kSpace + "b";
  EXPECT_THAT(fault(two), HasSubstr("a token of two words is 'a\xE2\x96\x81"));
  json without = by_words("\t\n\r");
  without["model"]["unk_id"] = nullptr;
  EXPECT_THAT(fault(without), HasSubstr("unk_id is 'null'"));
}

TEST(UnigramSteps, NamesWhatItHasNoWordsFor) {
  const auto fault = [](const json& tokenizer) {
    const bundle::UnigramSteps steps = bundle::read_unigram_steps(tokenizer.dump());
    return steps.no_words + ": " + steps.found;
  };
  json tokenizer = by_words("\n");
  EXPECT_EQ(fault(tokenizer), ": ");
  tokenizer["pre_tokenizer"]["pretokenizers"][1]["prepend_scheme"] = "first";
  EXPECT_EQ(fault(tokenizer), "prepend_scheme: first");
  tokenizer["pre_tokenizer"]["pretokenizers"].erase(1);
  EXPECT_EQ(fault(tokenizer), "its pre-tokenizer: without U+2581 for spaces");
  tokenizer["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  EXPECT_EQ(fault(tokenizer), "a pre-tokenizer: BertPreTokenizer");
  tokenizer = by_words("\n");
  tokenizer["normalizer"] = {{"type", "Sequence"},
                             {"normalizers", {{{"type", "NFKD"}}, tokenizer["normalizer"]}}};
  EXPECT_EQ(fault(tokenizer), "a normalizer: NFKD");
  tokenizer = by_normalizer("\n");
  tokenizer["normalizer"]["normalizers"].erase(1);
  EXPECT_EQ(fault(tokenizer),
            "its normalizer: without one for spaces at the end and one for several");
}

}  // namespace
}  // namespace ashlar::testing
