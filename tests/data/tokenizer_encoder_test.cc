// The encoder of a real model directory: ids, document ends, chat masks.
#include "ashlar/data/tokenizer_encoder.h"

#include "ashlar/base/file.h"
#include "ashlar/base/file_writer.h"
#include "ashlar/base/json.h"
#include "ashlar/data/encoded_piece.h"
#include "tests/base/messages.h"
#include "tests/base/paths.h"
#include "tests/base/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>

namespace ashlar::data {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kModels = test_data("models/");

// Bytes that count, in braces.
std::string masked(const TokenizerEncoder& encoder, const std::string& line) {
  const SourceFile file{"x.jsonl", FileKind::kJsonLines, 0};
  EncodedPiece out;
  encode_piece({.text = line, .file = &file}, encoder, BadUtf8::kRefuse, out);
  std::string text;
  for (size_t i = 0; i < out.tokens.size(); ++i) {
    const bool counts = out.counted.empty() || out.counted[i] != 0;
    const bool counted_before = i > 0 && (out.counted.empty() || out.counted[i - 1] != 0);
    if (counts && !counted_before) text += "{";
    if (!counts && counted_before) text += "}";
    text += encoder.tokenizer().decode(std::span(out.tokens).subspan(i, 1), false);
  }
  return text + (out.counted.empty() || out.counted.back() != 0 ? "}" : "");
}

TEST(TokenizerEncoderTest, EncodesAsTheGoldens) {
  for (const char* model : {"llama", "gpt2"}) {
    const TokenizerEncoder encoder = TokenizerEncoder::open(kModels + model);
    const nlohmann::json golden = read_json<nlohmann::json>(kModels + model + "/golden.json");
    for (const nlohmann::json& sample : golden.at("tokenizer")) {
      std::vector<int32_t> ids(encoder.document_begin().begin(), encoder.document_begin().end());
      encoder.encode(sample.at("text").get<std::string>(), ids);
      EXPECT_EQ(ids, sample.at("ids").get<std::vector<int32_t>>()) << sample.at("text");
    }
  }
}

TEST(TokenizerEncoderTest, FindsWhereDocumentsBeginAndEnd) {
  const TokenizerEncoder llama = TokenizerEncoder::open(kModels + "llama");
  EXPECT_THAT(llama.document_begin(), ElementsAre(0));
  EXPECT_EQ(llama.tokenizer().id_to_token(llama.document_end()).value_or(""), "<|eot_id|>");
}

// Without an eos_token: a token of a well-known name.
TEST(TokenizerEncoderTest, KnowsTheUsualEnds) {
  const TokenizerEncoder encoder(text::Tokenizer::from_json_file(kModels + "llama/tokenizer.json"),
                                 {}, "x");
  EXPECT_EQ(encoder.tokenizer().id_to_token(encoder.document_end()).value_or(""),
            "<|end_of_text|>");
}

TEST(TokenizerEncoderTest, ChatCountsTheAnswersOfTheTemplate) {
  const TokenizerEncoder encoder = TokenizerEncoder::open(kModels + "llama");
  EXPECT_EQ(masked(encoder, R"({"messages": [{"role": "user", "content": "Hi there"},
                                {"role": "assistant", "content": "Hello!"},
                                {"role": "user", "content": "Bye"},
                                {"role": "assistant", "content": "See you."}]})"),
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi there<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n{Hello!<|eot_id|>}"
            "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n{See you.<|eot_id|>}");
  EXPECT_EQ(masked(encoder, R"({"prompt": "One and one", "completion": " is two."})"),
            "<|begin_of_text|>One and one{ is two.<|eot_id|>}");
}

TEST(TokenizerEncoderTest, TemplatesThatMarkAnswersDecideThemselves) {
  TempDir dir;
  std::filesystem::copy(kModels + "llama/tokenizer.json", dir.path("tokenizer.json"));
  FileWriter(dir.path("chat_template.jinja"))
      .write(
          "{% for m in messages %}{% if m.role == 'assistant' %}A: {% generation %}"
          "{{ m.content }}{% endgeneration %}{% else %}U: {{ m.content }}{% endif %};"
          "{% endfor %}");
  const TokenizerEncoder encoder = TokenizerEncoder::open(dir.path("tokenizer.json"));
  EXPECT_EQ(masked(encoder, R"({"messages": [{"role": "user", "content": "hi"},
                                {"role": "assistant", "content": "ho"}]})"),
            "U: hi;A: {ho};");
}

TEST(TokenizerEncoderTest, TheFingerprintChangesWithTokenizerAndTemplate) {
  TempDir dir;
  std::filesystem::copy(kModels + "llama", dir.path("m"));
  const auto print = [&] { return TokenizerEncoder::open(dir.path("m")).fingerprint(); };
  const uint64_t whole = print();
  EXPECT_EQ(print(), whole);
  remove_tree(dir.path("m/chat_template.jinja"));
  const uint64_t without = print();
  EXPECT_NE(without, whole);
  std::string json = read_file(dir.path("m/tokenizer.json"));
  FileWriter(dir.path("m/tokenizer.json")).write(json + "\n");
  EXPECT_NE(print(), without);
}

TEST(TokenizerEncoderTest, SaysWhatIsMissing) {
  EXPECT_EQ(error_of([] { TokenizerEncoder::open("/nowhere/m"); }),
            "tokenizer /nowhere/m: no such file");
  const TokenizerEncoder encoder = TokenizerEncoder::open(kModels + "gpt2");
  EXPECT_THAT(error_of([&] {
                masked(encoder, R"({"messages": [{"role": "assistant", "content": "ho"}]})");
              }),
              HasSubstr("has no chat template, which messages need"));
}

}  // namespace
}  // namespace ashlar::data
