#include "ashlar/bundle/bundle.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"
#include "tests/bundle/model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace ashlar::testing {
namespace {

using bundle::Bundle;
using bundle::open_tokenizer;
using ::testing::HasSubstr;

std::string open_error(const std::string& path) {
  return error_of([&] { Bundle::open(path); });
}

TEST(Bundle, OpensAHuggingFaceFolder) {
  const Bundle model = Bundle::open(model_folder("llama"));
  EXPECT_EQ(model.config().family, "llama");
  EXPECT_TRUE(model.has_tokenizer());
  EXPECT_EQ(model.load_tokenizer().vocab_size(), 512);
  EXPECT_EQ(model.open_weights().names().size(), 21u);
  const text::ChatFiles chat = model.chat_files();
  ASSERT_EQ(chat.templates.size(), 1u);
  EXPECT_EQ(chat.templates[0].name, "default");
}

TEST(Bundle, SaysWhatIsWrongWithAPath) {
  const TempDir folder;
  EXPECT_TRUE(open_error("/no/such/model")
                  .starts_with("model /no/such/model: no such folder or file, and no such model in "
                               "the Hugging Face cache, "));
  EXPECT_EQ(open_error(folder.path()),
            "model " + folder.path() + " has no config.json; wanted a Hugging Face folder");
  write_file(folder.path("model.safetensors"), "");
  EXPECT_EQ(
      open_error(folder.path("model.safetensors")),
      "model " + folder.path("model.safetensors") +
          " is a file and no GGUF; wanted its folder, with config.json in it, or a GGUF file");
}

// Each says what it is and what to do about it.
TEST(Bundle, FoldersOfOtherKinds) {
  const TempDir folder;
  write_file(folder.path("adapter_config.json"), "{}");
  EXPECT_THAT(open_error(folder.path()), HasSubstr("this is an adapter: merge it into its model"));
  write_file(folder.path("config.json"), read_file(model_folder("llama") + "/config.json"));
  const auto weights_error = [&] {
    return error_of([&] { Bundle::open(folder.path()).open_weights(); });
  };
  EXPECT_THAT(weights_error(), HasSubstr("holds neither model.safetensors nor"));
  write_file(folder.path("other.safetensors"), "");
  EXPECT_THAT(weights_error(), HasSubstr("if other.safetensors is all of it, call it model.saf"));
  write_file(folder.path("adapter_model.safetensors"), "");
  EXPECT_THAT(weights_error(), HasSubstr("an adapter alone"));
  std::filesystem::remove(folder.path("adapter_model.safetensors"));
  std::filesystem::remove(folder.path("other.safetensors"));
  write_file(folder.path("pytorch_model.bin"), "");
  EXPECT_THAT(weights_error(), HasSubstr("pytorch_model.bin is not read, save it anew"));
  write_file(folder.path("vocab.txt"), "");
  EXPECT_THAT(error_of([&] { Bundle::open(folder.path()).load_tokenizer(); }),
              HasSubstr("of vocab.txt transformers makes one"));
  EXPECT_THAT(error_of([&] { open_tokenizer(folder.path()); }),
              HasSubstr("has neither tokenizer.json nor tokenizer.model; of vocab.txt"));
}

// What `git clone` leaves in the place of large files.
TEST(Bundle, PointersToFilesThatAreNotFetched) {
  const TempDir folder;
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
  const auto wanted = [&](const std::string& file) {
    return folder.path(file) +
           " is a Git LFS pointer, not the file itself; fetch it with `git lfs pull` in the folder "
           "it was cloned to";
  };
  write_file(folder.path("model.gguf"), pointer);
  EXPECT_EQ(open_error(folder.path("model.gguf")), wanted("model.gguf"));
  write_file(folder.path("config.json"), read_file(model_folder("llama") + "/config.json"));
  write_file(folder.path("model.safetensors"), pointer);
  write_file(folder.path("tokenizer.json"), pointer);
  const Bundle model = Bundle::open(folder.path());
  EXPECT_EQ(error_of([&] { model.open_weights(); }), wanted("model.safetensors"));
  EXPECT_EQ(error_of([&] { model.load_tokenizer(); }), wanted("tokenizer.json"));
}

// As transformers does: a head of its own in the file is not tied, whatever config.json says.
TEST(Bundle, AHeadWithValuesOfItsOwnIsNotTied) {
  const TempDir folder;
  std::string config = read_file(model_folder("llama") + "/config.json");
  const std::string untied = "\"tie_word_embeddings\": false";
  ASSERT_NE(config.find(untied), std::string::npos);
  config.replace(config.find(untied), untied.size(), "\"tie_word_embeddings\": true");
  write_file(folder.path("config.json"), config);
  EXPECT_TRUE(Bundle::open(folder.path()).config().tied_head);  // no weights yet
  write_file(folder.path("model.safetensors"),
             read_file(model_folder("llama") + "/model.safetensors"));
  EXPECT_FALSE(Bundle::open(folder.path()).config().tied_head);
  EXPECT_TRUE(Bundle::open(model_folder("gpt2")).config().tied_head);
}

TEST(Bundle, PartsThatAreMissing) {
  const TempDir folder;
  write_file(folder.path("config.json"), read_file(model_folder("llama") + "/config.json"));
  const Bundle model = Bundle::open(folder.path());
  EXPECT_FALSE(model.has_tokenizer());
  EXPECT_EQ(
      error_of([&] { model.load_tokenizer(); }),
      "model " + folder.path() + " has no tokenizer.json; give token ids (--ids) instead of text");
  EXPECT_NE(error_of([&] { model.open_weights(); }).find(folder.path()), std::string::npos);
  EXPECT_TRUE(model.chat_files().templates.empty());
  EXPECT_TRUE(model.text_files().empty());
  EXPECT_EQ(model.generation().eos, std::vector<int64_t>{2});
  EXPECT_EQ(model.generation().bos, 0);
}

TEST(Bundle, TextFilesAreAllThatBelongsToIt) {
  std::vector<std::string> names;
  for (const auto& [name, content] : Bundle::open(model_folder("llama")).text_files()) {
    names.push_back(name);
    EXPECT_EQ(content, read_file(model_folder("llama") + "/" + name));
  }
  EXPECT_EQ(names, (std::vector<std::string>{"chat_template.jinja", "generation_config.json",
                                             "special_tokens_map.json", "tokenizer.json",
                                             "tokenizer_config.json"}));
}

TEST(GenerationConfig, WhatChangesAnswers) {
  const auto read = [](const std::string& text) {
    return bundle::parse_generation_config(text, "g.json");
  };
  EXPECT_EQ(read(R"({"do_sample": false, "temperature": 0.9})").temperature, 0.0);
  EXPECT_EQ(read(R"({"do_sample": true, "temperature": 0.9})").temperature, 0.9);
  EXPECT_EQ(read(R"({"num_beams": 4, "suppress_tokens": [7], "forced_eos_token_id": 0})").unread,
            (std::vector<std::string>{"forced_eos_token_id", "num_beams", "suppress_tokens"}));
  EXPECT_TRUE(read(R"({"num_beams": 1, "suppress_tokens": [], "typical_p": 1.0,
                       "forced_eos_token_id": null, "renormalize_logits": false})")
                  .unread.empty());
}

TEST(GenerationConfig, GoesThroughGguf) {
  formats::GgufMetadata metadata("m");
  const auto config = bundle::parse_generation_config(
      R"({"temperature": 0.6, "top_p": 0.95, "top_k": 40, "repetition_penalty": 1.05})", "g.json");
  bundle::write_gguf_sampling(config, metadata);
  bundle::GenerationConfig found;
  bundle::read_gguf_sampling(metadata, found);
  EXPECT_EQ(found.temperature, 0.6);
  EXPECT_EQ(found.top_p, 0.95);
  EXPECT_EQ(found.min_p, std::nullopt);
  EXPECT_EQ(found.top_k, 40);
  EXPECT_EQ(found.repetition_penalty, 1.05);
  const auto again =
      bundle::parse_generation_config(bundle::write_generation_config(found), "again.json");
  EXPECT_EQ(again.temperature, 0.6);
  EXPECT_EQ(again.repetition_penalty, 1.05);
}

TEST(GenerationConfig, ReadsSamplingDefaults) {
  const auto config = bundle::parse_generation_config(
      R"({"eos_token_id": [2, 7], "pad_token_id": 0, "do_sample": true, "temperature": 0.6,
          "top_p": 0.95, "top_k": 40, "max_new_tokens": 0, "transformers_version": "4.57"})",
      "g.json");
  EXPECT_EQ(config.eos, (std::vector<int64_t>{2, 7}));
  EXPECT_EQ(config.pad, 0);
  EXPECT_EQ(config.bos, std::nullopt);
  EXPECT_EQ(config.temperature, 0.6);
  EXPECT_EQ(config.top_p, 0.95);
  EXPECT_EQ(config.top_k, 40);
  EXPECT_EQ(config.max_new_tokens, std::nullopt);
  EXPECT_EQ(error_of([] { bundle::parse_generation_config(R"({"top_p": "high"})", "g.json"); }),
            "g.json: top_p is \"high\", wanted a number");
}

}  // namespace
}  // namespace ashlar::testing
