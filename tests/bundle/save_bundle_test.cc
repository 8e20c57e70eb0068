#include "ashlar/bundle/save_bundle.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/bundle/load_weights.h"
#include "ashlar/models/decoder_graphs.h"
#include "tests/base/temp_dir.h"
#include "tests/bundle/model_files.h"

#include <gtest/gtest.h>

namespace ashlar::testing {
namespace {

using bundle::Bundle;

struct Loaded {
  Bundle model;
  Tensors parameters;
};

Loaded load(const std::string& folder) {
  Loaded result{Bundle::open(folder), {}};
  const auto& config = result.model.config();
  bundle::load_weights(
      result.model.open_weights(), config, models::build_training(config), bundle::Storage::kOwn,
      folder, [&](const std::string& name, Tensor t) { result.parameters[name] = std::move(t); });
  return result;
}

void save(const std::string& folder, const Loaded& loaded, bundle::SaveOptions options = {}) {
  options.text_files = loaded.model.text_files();
  bundle::save_bundle(
      folder, loaded.model.config(),
      [&](const std::string& name) { return loaded.parameters.at(name); }, options);
}

void expect_equal(const Tensors& a, const Tensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(same_bytes(tensor, b.at(name))) << name;
}

class SaveBundle : public ::testing::TestWithParam<const char*> {};

TEST_P(SaveBundle, RoundTripKeepsEveryByte) {
  const TempDir folder;
  const Loaded before = load(model_folder(GetParam()));
  save(folder.path("saved"), before);
  const Loaded after = load(folder.path("saved"));
  EXPECT_EQ(after.model.config(), before.model.config());
  EXPECT_EQ(after.model.text_files(), before.model.text_files());
  expect_equal(after.parameters, before.parameters);
  expect_equal(read_tensors(folder.path("saved")), read_tensors(model_folder(GetParam())));

  save(folder.path("again"), after);  // written twice, the same files
  for (const char* name : {"config.json", "model.safetensors"}) {
    EXPECT_EQ(read_file(folder.path("again") + "/" + name),
              read_file(folder.path("saved") + "/" + name));
  }
}

TEST_P(SaveBundle, InBf16AndInShards) {
  const TempDir folder;
  const Loaded before = load(model_folder(GetParam()));
  bundle::SaveOptions options;
  options.dtype = DType::kBF16;
  options.max_shard_bytes = 100'000;
  save(folder.path("saved"), before, options);
  EXPECT_TRUE(is_file(folder.path("saved") + "/model.safetensors.index.json"));
  const Loaded after = load(folder.path("saved"));
  EXPECT_EQ(after.model.config().dtype, DType::kBF16);
  for (const auto& [name, tensor] : before.parameters) {
    EXPECT_TRUE(same_bytes(after.parameters.at(name), tensor.to(DType::kBF16).to(DType::kF32)))
        << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SaveBundle,
                         ::testing::Values("gpt2", "llama", "llama2", "mixtral"),
                         [](const auto& model) { return std::string(model.param); });

TEST(SaveBundle, RecordsEveryFile) {
  const TempDir folder;
  const Loaded loaded = load(model_folder("llama"));
  bundle::SaveOptions options;
  options.text_files = {{"tokenizer.json", "{}"}, {"additional_chat_templates/rag.jinja", "x"}};
  const auto records = bundle::write_bundle(
      folder.path(), loaded.model.config(),
      [&](const std::string& name) { return loaded.parameters.at(name); }, options);
  std::vector<std::string> names;
  for (const formats::FileRecord& record : records) {
    names.push_back(record.name);
    EXPECT_EQ(record, formats::record_file(folder.path(), record.name));
  }
  std::ranges::sort(names);
  EXPECT_EQ(names, (std::vector<std::string>{"additional_chat_templates/rag.jinja", "config.json",
                                             "generation_config.json", "model.safetensors",
                                             "tokenizer.json"}));
  EXPECT_EQ(Bundle::open(folder.path()).generation().eos, std::vector<int64_t>{2});
}

TEST(SaveBundle, TokenizerConfig) {
  const TempDir folder;
  write_file(folder.path("tokenizer_config.json"),
             bundle::write_tokenizer_config({{"bos_token", "<s>"}, {"eos_token", "</s>"}}, 256));
  EXPECT_EQ(text::read_chat_files(folder.path()).special_tokens,
            (text::SpecialTokens{{"bos_token", "<s>"}, {"eos_token", "</s>"}}));
}

}  // namespace
}  // namespace ashlar::testing
