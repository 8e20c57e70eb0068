// Training of encoders on hidden tokens: from a model's folder to one that embeds.
#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/train/evaluate.h"
#include "tests/base/messages.h"
#include "tests/models/encoder_models.h"
#include "tests/train/tiny_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::train {
namespace {

using ashlar::testing::error_of;
using ::testing::HasSubstr;
using namespace testing;  // NOLINT: tiny runs

// Words as tokens, between [CLS] and [SEP].
std::string word_tokenizer(const std::string& mask) {
  nlohmann::json vocab, added = nlohmann::json::array();
  for (const std::string token : {"[PAD]", "[CLS]", "[SEP]", "[UNK]"}) vocab[token] = vocab.size();
  vocab[mask] = vocab.size();
  for (const auto& [token, id] : vocab.items()) {
    added.push_back({{"id", id},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  for (const std::string word :
       {"the", "cat", "a", "dog", "one", "bird", "my", "fish", "sees", "likes", "hears", "follows",
        "moon", "river", "house", "king", "."}) {
    vocab[word] = vocab.size();
  }
  const auto special = [](const char* token) {
    return nlohmann::json{{"SpecialToken", {{"id", token}, {"type_id", 0}}}};
  };
  return nlohmann::json{
      {"version", "1.0"},
      {"added_tokens", added},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "Whitespace"}}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single",
         {special("[CLS]"), {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, special("[SEP]")}},
        {"pair", nlohmann::json::array()},
        {"special_tokens",
         {{"[CLS]", {{"id", "[CLS]"}, {"ids", {1}}, {"tokens", {"[CLS]"}}}},
          {"[SEP]", {{"id", "[SEP]"}, {"ids", {2}}, {"tokens", {"[SEP]"}}}}}}}},
      {"decoder", nullptr},
      {"model", {{"type", "WordLevel"}, {"vocab", vocab}, {"unk_token", "[UNK]"}}}}
      .dump();
}

class EncoderTraining : public ::testing::Test {
 protected:
  EncoderTraining() {
    const std::string model = tiny_.path("model");
    make_directories(join_path(model, "1_Pooling"));
    ashlar::testing::write_encoder_model(model, ashlar::testing::encoder_golden("bert_relu"));
    write_file(join_path(model, "tokenizer.json"), word_tokenizer("[MASK]"));
    write_file(join_path(model, "modules.json"), "[]");
    write_file(join_path(model, "1_Pooling/config.json"), "{}");
  }

  TrainConfig config(const std::string& name) const {
    TrainConfig config = tiny_.config(name);
    config.model = {};
    config.model.from = tiny_.path("model");
    config.data.tokenizer = "";
    config.train.dropout = 0;
    config.train.lr = 3e-3;
    return config;
  }

  TinyRun tiny_;
};

TEST_F(EncoderTraining, LearnsHiddenTokensAndSavesAnEncoder) {
  TrainConfig config = this->config("run");
  config.train.steps = 60;
  config.valid.batches = 0;
  config.checkpoint.every = 0;
  const TrainOutcome outcome = run(config);
  ASSERT_TRUE(outcome.valid_loss && outcome.valid_loss_start);
  EXPECT_LT(*outcome.valid_loss, 0.6 * *outcome.valid_loss_start);

  const bundle::Bundle saved = bundle::Bundle::open(outcome.checkpoint);
  ASSERT_NE(saved.encoder(), nullptr);
  EXPECT_THAT(read_file(join_path(outcome.checkpoint, "config.json")),
              HasSubstr("\"BertForMaskedLM\""));
  for (const char* name : {"modules.json", "1_Pooling/config.json", "tokenizer.json"}) {
    EXPECT_TRUE(is_file(join_path(outcome.checkpoint, name))) << name;
  }
  EXPECT_FALSE(is_file(join_path(outcome.checkpoint, "generation_config.json")));
  // What validation saw, as `ashlar eval` computes it.
  EvaluateOptions options;
  options.model = outcome.checkpoint;
  options.data = config.data;
  options.data.train = config.data.valid;
  options.seq = config.train.seq;
  options.batch = 2;
  const Evaluation evaluation = evaluate(options);
  EXPECT_NEAR(evaluation.loss, *outcome.valid_loss, 1e-5);
  EXPECT_FALSE(evaluation.bits_per_byte.has_value());
}

TEST_F(EncoderTraining, GoesOnToTheSameBits) {
  TrainConfig straight = config("straight");
  straight.train.dropout = 0.1;
  run(straight);
  TrainConfig stopped = straight;
  stopped.run.dir = tiny_.path("stopped");
  stopped.train.schedule = straight.train.schedule = Schedule::kConstant;
  straight.run.dir = tiny_.path("constant");
  run(straight);
  stopped.train.steps = 5;
  run(stopped);
  stopped.train.steps = 10;
  resume(stopped);
  EXPECT_EQ(learning_log(stopped.run.dir), learning_log(straight.run.dir));
  EXPECT_EQ(learnt_bytes(stopped.run.dir), learnt_bytes(straight.run.dir));
}

TEST_F(EncoderTraining, TwoRanksLearnTheSame) {
  TrainConfig one = config("one");
  one.train.steps = 3;
  const double wanted = run(one).loss;
  for (const auto& [name, mesh] :
       {std::pair{"data", MeshSection{.data = 2}}, std::pair{"tensor", MeshSection{.tensor = 3}},
        std::pair{"pipe", MeshSection{.pipe = 2}}}) {
    TrainConfig config = one;
    config.run.dir = tiny_.path(name);
    config.mesh = mesh;
    config.parallel.zero = mesh.data > 1 ? 3 : 0;
    comm::run_ranks(Mesh::standard(mesh.sizes()).size(), [&](comm::Communicator& comm) {
      const double found = train(config, quiet(), &comm).loss;
      EXPECT_NEAR(found, wanted, 1e-4) << name;
    });
  }
}

TEST_F(EncoderTraining, WhatDoesNotGoTogetherIsRefused) {
  TrainConfig sampled = config("sampled");
  sampled.sample.every = 1;
  EXPECT_THAT(error_of([&] { run(sampled); }), HasSubstr("bert is an encoder and writes no text"));
  TrainConfig decoder = tiny_.config("decoder");
  decoder.mask.probability = 0.3;
  EXPECT_THAT(error_of([&] { run(decoder); }),
              HasSubstr("config mask: llama predicts next tokens"));
  TrainConfig shares = config("shares");
  shares.mask.random = 0.3;
  EXPECT_THAT(error_of([&] { run(shares); }), HasSubstr("mask.replace=0.8 are more than 1"));
  write_file(tiny_.path("model/tokenizer.json"), word_tokenizer("[HIDDEN]"));
  EXPECT_THAT(error_of([&] { run(config("unmasked")); }), HasSubstr("has no mask token"));
}

}  // namespace
}  // namespace ashlar::train
