#include "ashlar/embed/embedder.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/error.h"
#include "ashlar/base/json.h"
#include "ashlar/bundle/convert.h"
#include "ashlar/embed/settings.h"
#include "ashlar/kernels/table.h"
#include "tests/embed/embedding_folder.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace ashlar::embed {
namespace {

using nlohmann::json;
using Vectors = std::vector<std::vector<float>>;
using testing::EmbeddingFolder;

void ignore(int64_t, int64_t) {}

struct Opened {
  explicit Opened(const std::string& path, const EmbedderOptions& options = {}, int threads = 2)
      : bundle(bundle::Bundle::open(path)),
        pool(threads),
        embedder(bundle, options, kernels::kernel_table(best_isa_tier()), pool) {}

  Vectors embed(const std::vector<std::string>& texts) {
    std::vector<TokenizedText> tokenized;
    for (const std::string& text : texts) {
      tokenized.push_back(embedder.encode(text));
      embedder.truncate(tokenized.back());
    }
    return embedder.embed(tokenized);
  }

  bundle::Bundle bundle;
  ThreadPool pool;
  Embedder embedder;
};

void expect_near(const std::vector<float>& found, const json& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i], wanted[i].get<double>(), 1e-5) << i;
  }
}

json forward_golden() {
  return read_json<json>(test_data("models/bert/golden.json")).at("forward");
}

TEST(Embedder, GivesWhatTransformersGives) {
  Opened mean(test_data("models/bert"), {.normalize = true});
  Opened cls(test_data("models/bert"), {.pooling = Pooling::kCls});
  for (const json& item : forward_golden()) {
    const std::string text = item.at("text");
    EXPECT_EQ(mean.embedder.encode(text).ids, item.at("ids").get<std::vector<int32_t>>());
    expect_near(mean.embed({text})[0], item.at("mean_pooled_normalized"));
    expect_near(cls.embed({text})[0], item.at("cls_hidden"));
  }
}

// Bit for bit: alone, in one batch, cut into small batches, by one thread.
TEST(Embedder, AVectorDoesNotDependOnItsNeighbours) {
  std::vector<std::string> texts = {""};
  for (const json& item : forward_golden()) {
    const std::string text = item.at("text");
    for (size_t length = 1; length < text.size(); length += 9)
      texts.push_back(text.substr(0, length));
  }
  Opened together(test_data("models/bert"));
  const Vectors all = together.embed(texts);
  ASSERT_EQ(all.size(), texts.size());
  Opened few(test_data("models/bert"), {.limits = {.tokens = 1, .seqs = 3}}, 1);
  EXPECT_EQ(few.embed(texts), all);
  for (size_t i = 0; i < texts.size(); i += 5)
    EXPECT_EQ(together.embed({texts[i]})[0], all[i]) << i;
}

TEST(Embedder, CutsTextsBeforeTheTokensAtTheirEnd) {
  Opened short_ones(test_data("models/bert"), {.max_tokens = 7});
  const Embedder& embedder = short_ones.embedder;
  EXPECT_EQ(embedder.max_tokens(), 7);
  TokenizedText text = embedder.encode(forward_golden()[0].at("text").get<std::string>());
  const std::vector<int32_t> whole = text.ids;
  ASSERT_GT(whole.size(), 8u);
  EXPECT_TRUE(embedder.truncate(text));
  std::vector<int32_t> wanted(whole.begin(), whole.begin() + 6);
  wanted.push_back(whole.back());
  EXPECT_EQ(text.ids, wanted);
  EXPECT_EQ(text.types.size(), 7u);
  EXPECT_FALSE(embedder.truncate(text));
  EXPECT_THROW(Opened(test_data("models/bert"), {.max_tokens = 257}), Error);
}

TEST(Embedder, TheFoldersFilesSayHow) {
  const EmbeddingFolder folder("bert");
  folder.write_modules(R"({"pooling_mode_mean_tokens": true})", true);
  write_file(folder.path() + "/sentence_bert_config.json", R"({"max_seq_length": 12})");
  Opened opened(folder.path());
  EXPECT_EQ(opened.embedder.max_tokens(), 12);
  const std::string text = forward_golden()[1].at("text");
  Opened cut(test_data("models/bert"), {.normalize = true, .max_tokens = 12});
  EXPECT_EQ(opened.embed({text}), cut.embed({text}));
}

// As GGUF, and as the folder that is made of that: vectors are the same to the bit.
TEST(Embedder, AGgufFileSaysWhatTheFolderSaid) {
  struct Case {
    const char *model, *pooling;
    bool normalize;
  };
  for (const Case& test : {Case{"bert", "cls_token", true}, Case{"bert", "mean_tokens", false},
                           Case{"llama", "mean_tokens", true}}) {
    const EmbeddingFolder folder(test.model);
    folder.write_modules(fmt::format(R"({{"pooling_mode_{}": true}})", test.pooling),
                         test.normalize);
    write_file(folder.path() + "/sentence_bert_config.json",
               R"({"max_seq_length": 12, "do_lower_case": true})");
    write_file(folder.path() + "/config_sentence_transformers.json",
               R"({"prompts": {"query": "find: "}, "default_prompt_name": "query"})");
    const std::string file = folder.path() + "/m.gguf", back = folder.path() + "/back";
    Opened opened(folder.path());
    bundle::write_gguf_model(opened.bundle, file, bundle::find_quant_mix("f32"), opened.pool,
                             ignore, settings_in_gguf(opened.bundle));
    Opened written(file);
    EXPECT_TRUE(embeds(written.bundle));
    EXPECT_EQ(written.embedder.settings(), opened.embedder.settings());
    bundle::write_folder_model(written.bundle, back, DType::kF32, ignore);
    Opened read_back(back);
    EXPECT_EQ(read_back.embedder.settings(), opened.embedder.settings());
    const std::vector<std::string> texts = {"TO BE", forward_golden()[1].at("text")};
    const Vectors wanted = opened.embed(texts);
    EXPECT_EQ(written.embed(texts), wanted) << test.model;
    EXPECT_EQ(read_back.embed(texts), wanted) << test.model;
  }
}

// One that others made, as llama.cpp's programs do; one that says nothing, as a folder without
// modules.
TEST(Embedder, AGgufFileWithoutOurKeysIsNormalised) {
  formats::GgufMetadata metadata("m.gguf");
  metadata.set("general.architecture", std::string("bert"));
  EXPECT_EQ(bundle::gguf_embedding(metadata), bundle::GgufEmbedding());
  metadata.set_u32("bert.pooling_type", 2);
  EXPECT_EQ(bundle::gguf_embedding(metadata),
            (bundle::GgufEmbedding{.pooling = "cls", .normalize = true}));
}

TEST(Embedder, ADecoderGivesItsLastToken) {
  Opened decoder(test_data("models/llama"));
  EXPECT_EQ(decoder.embedder.settings().pooling, Pooling::kLast);
  const Vectors vectors = decoder.embed({"To be", "To be, or not to be"});
  // A later token does not change what an earlier one sees: the mean of one token is that token.
  const std::vector<int32_t> ids = decoder.embedder.encode("To be").ids;
  Opened mean(test_data("models/llama"), {.pooling = Pooling::kMax});
  const std::vector<TokenizedText> one = {{{ids.front()}}};
  EXPECT_EQ(mean.embedder.embed(one), decoder.embedder.embed(one));
  EXPECT_NE(vectors[0], vectors[1]);
}

TEST(Embedder, RefusesTokensThatTheModelLacks) {
  Opened opened(test_data("models/bert"));
  EXPECT_THROW(opened.embedder.embed(std::vector<TokenizedText>{{{600}}}), Error);
  EXPECT_THROW(opened.embedder.embed(std::vector<TokenizedText>{{{-1}}}), Error);
  EXPECT_THROW(opened.embedder.embed(std::vector<TokenizedText>{{{}}}), Error);
  EXPECT_THROW(opened.embedder.embed(std::vector<TokenizedText>{{std::vector<int32_t>(257, 5)}}),
               Error);
}

TEST(Embedder, ShortensVectors) {
  std::vector<float> vector = {3, 4, 12};
  shorten(vector, 2, true);
  EXPECT_THAT(vector, ::testing::ElementsAre(::testing::FloatEq(0.6f), ::testing::FloatEq(0.8f)));
  EXPECT_THROW(shorten(vector, 3, false), Error);
}

}  // namespace
}  // namespace ashlar::embed
