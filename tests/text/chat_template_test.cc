#include "ashlar/text/chat_template.h"

#include "ashlar/base/error.h"
#include "ashlar/base/mapped_file.h"
#include "tests/base/paths.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace ashlar::text {
namespace {

namespace fs = std::filesystem;
using jinja::Value;

std::string read_file(const std::string& path) {
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// A model directory of its own for each test.
class ChatFilesTest : public testing::Test {
 protected:
  ChatFilesTest()
      : directory_(fs::path(testing::TempDir()) /
                   testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  ~ChatFilesTest() override { fs::remove_all(directory_); }

  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((directory_ / name).parent_path());
    std::ofstream(directory_ / name) << text;
  }
  ChatFiles read() const { return read_chat_files(directory_.string()); }

  fs::path directory_;
};

class GoldenChat : public testing::TestWithParam<const char*> {};

TEST_P(GoldenChat, RendersAsTransformers) {
  const std::string directory = test_data("chat/models/") + GetParam();
  const ChatFiles files = read_chat_files(directory);
  const ChatTemplateSource* source = files.choose(false);
  ASSERT_NE(source, nullptr);
  const Value golden = jinja::parse_json(read_file(directory + "/golden_chat.json"), "golden");
  ChatRequest request;
  request.messages = *golden.dict().find("messages");
  request.special_tokens = files.special_tokens;
  const auto chat = ChatTemplate::parse(source->source, source->where);
  EXPECT_EQ(chat.render(request), golden.dict().find("prompt")->string());
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenChat, testing::Values("llama", "qwen2", "qwen3"));

TEST_F(ChatFilesTest, EmptyDirectoryHasNoTemplate) {
  const ChatFiles files = read();
  EXPECT_TRUE(files.templates.empty());
  EXPECT_EQ(files.choose(true), nullptr);
  EXPECT_THROW(files.choose(false, "rag"), Error);
}

TEST_F(ChatFilesTest, FileWinsOverConfig) {
  write("tokenizer_config.json", R"({"chat_template": "from config"})");
  EXPECT_EQ(read().choose(false)->source, "from config");
  write("chat_template.jinja", "from file");
  EXPECT_EQ(read().choose(false)->source, "from file");
  EXPECT_NE(read().choose(false)->where.find("chat_template.jinja"), std::string::npos);
}

TEST_F(ChatFilesTest, NamedTemplates) {
  write("tokenizer_config.json", R"({"chat_template": [{"name": "default", "template": "d"},
                                     {"name": "tool_use", "template": "t"}]})");
  EXPECT_EQ(read().choose(false)->source, "d");
  EXPECT_EQ(read().choose(true)->source, "t");
  EXPECT_EQ(read().choose(false, "tool_use")->source, "t");
  write("additional_chat_templates/rag.jinja", "r");
  EXPECT_EQ(read().choose(false, "rag")->source, "r");
  try {
    read().choose(false, "rags");
    FAIL() << "an unknown name was accepted";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "chat template 'rags' does not exist; the model has: default, tool_use, rag");
  }
}

TEST_F(ChatFilesTest, NamedTemplatesInAnObject) {
  write("tokenizer_config.json", R"({"chat_template": {"default": "d", "tool_use": "t"}})");
  const ChatFiles files = read();
  EXPECT_EQ(files.choose(false)->source, "d");
  EXPECT_EQ(files.choose(true)->source, "t");
  write("tokenizer_config.json", R"({"chat_template": {"default": 5}})");
  EXPECT_THROW(read(), Error);
}

TEST_F(ChatFilesTest, SpecialTokensAreStringsOrObjects) {
  write("tokenizer_config.json",
        R"({"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false},
            "unk_token": null, "added_tokens_decoder": {}})");
  write("special_tokens_map.json", R"({"bos_token": "not read"})");
  const SpecialTokens wanted = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  EXPECT_EQ(read().special_tokens, wanted);
}

TEST_F(ChatFilesTest, OlderDirectoriesKeepTokensApart) {
  write("tokenizer_config.json", R"({"bos_token": "<s>"})");
  write("special_tokens_map.json", R"({"bos_token": "<bos>", "pad_token": {"content": "<p>"}})");
  const SpecialTokens wanted = {{"bos_token", "<bos>"}, {"pad_token", "<p>"}};
  EXPECT_EQ(read().special_tokens, wanted);
}

TEST_F(ChatFilesTest, TokensByOtherNames) {
  write("tokenizer_config.json",
        R"({"bos_token": "<s>", "image_token": "<image>", "use_token": true,
            "extra_special_tokens": {"boi_token": {"content": "<boi>"}, "sound": "<sound>"},
            "model_specific_special_tokens": {"eoi_token": "<eoi>"}, "added_tokens_decoder": {}})");
  const SpecialTokens wanted = {{"bos_token", "<s>"},
                                {"image_token", "<image>"},
                                {"boi_token", "<boi>"},
                                {"sound", "<sound>"},
                                {"eoi_token", "<eoi>"}};
  EXPECT_EQ(read().special_tokens, wanted);
}

// What LlamaTokenizer() itself has, but for names that a file sets, be it to null.
TEST_F(ChatFilesTest, TokensOfAClass) {
  write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizerFast", "unk_token": null})");
  const SpecialTokens wanted = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  EXPECT_EQ(read().special_tokens, wanted);
  write("special_tokens_map.json", R"({"eos_token": "<end>", "bos_token": null})");
  EXPECT_EQ(read().special_tokens, (SpecialTokens{{"eos_token", "<end>"}}));
  write("tokenizer_config.json", R"({"tokenizer_class": "PreTrainedTokenizerFast"})");
  EXPECT_EQ(read().special_tokens, (SpecialTokens{{"eos_token", "<end>"}}));
}

TEST_F(ChatFilesTest, BrokenFilesAreNamed) {
  const auto message = [&]() -> std::string {
    try {
      read();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  write("tokenizer_config.json", "[1]");
  EXPECT_NE(message().find("tokenizer_config.json: holds a JSON list"), std::string::npos);
  write("tokenizer_config.json", "{");
  EXPECT_NE(message().find("tokenizer_config.json: "), std::string::npos);
  write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_NE(message().find("chat_template: is a JSON int"), std::string::npos);
  write("tokenizer_config.json", R"({"chat_template": [{"name": "default"}]})");
  EXPECT_NE(message().find("key 'template' is missing"), std::string::npos);
}

TEST(ChatTemplate, RequestVariables) {
  const auto chat = ChatTemplate::parse(
      "{{ bos_token }}{{ messages|length }}{{ tools }}{{ documents }}{{ add_generation_prompt }}"
      "{{ style }}{{ eos_token is defined }}",
      "t");
  ChatRequest request;
  request.messages = jinja::parse_json("[{}]", "m");
  request.special_tokens = {{"bos_token", "<s>"}};
  request.extra = jinja::parse_json(R"({"style": "plain"})", "e");
  EXPECT_EQ(chat.render(request), "<s>1NoneNoneTrueplainFalse");
  request.messages = Value("not a list");
  EXPECT_THROW(chat.render(request), Error);
}

TEST(ChatTemplate, ReadsPartsWhereItsTextComesOut) {
  const auto reads = [](const std::string& source) {
    return ChatTemplate::parse(source, "t").reads_parts({});
  };
  EXPECT_TRUE(
      reads("{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}"
            "{% endfor %}"));
  EXPECT_FALSE(reads("{% for m in messages %}{{ m.content }}{% endfor %}"));
  EXPECT_FALSE(reads("{% for m in messages %}{{ m.content | tojson }}{% endfor %}"));
  EXPECT_FALSE(reads("{% for m in messages %}{{ '<' + m.content }}{% endfor %}"));
  EXPECT_FALSE(reads("{{ raise_exception('no') }}"));
}

TEST(ChatTemplate, SpansOfTheAssistant) {
  const auto chat = ChatTemplate::parse(
      "{% for m in messages %}<{{ m.role }}>{% generation %}{{ m.content }}{% endgeneration %}"
      "{% endfor %}",
      "t");
  ChatRequest request;
  request.messages = jinja::parse_json(
      R"([{"role": "a", "content": "é!"}, {"role": "b", "content": "xyz"}])", "m");
  const jinja::Rendered rendered = chat.render_with_spans(request);
  EXPECT_EQ(rendered.text, "<a>é!<b>xyz");
  const std::vector<jinja::GeneratedSpan> wanted = {{3, 6}, {9, 12}};
  EXPECT_EQ(rendered.generated, wanted);
}

TEST(ChatTemplate, ParseErrorsComeAtLoad) {
  try {
    ChatTemplate::parse("line one\n{% for m in messages %}{{ m.content }", "chat_template.jinja");
    FAIL() << "a broken template was accepted";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "chat_template.jinja:2:37: unexpected '}'");
  }
}

TEST(ChatTemplate, IsRenderedTheSameTwice) {
  const auto chat = ChatTemplate::parse(
      "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}"
      "{{ ns.n }}",
      "t");
  ChatRequest request;
  request.messages = jinja::parse_json("[1, 2, 3]", "m");
  EXPECT_EQ(chat.render(request), "3");
  EXPECT_EQ(chat.render(request), "3");
}

}  // namespace
}  // namespace ashlar::text
