// Training a mixture of experts: from scratch, with a capacity and random second choices, resumed;
// its balance over microbatches; FLOPs of what a token meets; keys that do not go together.
#include "ashlar/base/config.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/train/flops.h"
#include "ashlar/train/model_source.h"
#include "ashlar/train/training_step.h"
#include "tests/base/heap_calls.h"
#include "tests/base/messages.h"
#include "tests/train/tiny_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace ashlar::train {
namespace {

using ashlar::testing::error_of;
using ::testing::HasSubstr;
using namespace testing;  // NOLINT: tiny runs

TrainConfig tiny_mixture(const TinyRun& tiny, const std::string& name) {
  TrainConfig config = tiny.config(name);
  config.model.family = "mixtral";
  config.model.experts = 4;
  return config;
}

TEST(MixtureTraining, LearnsAndReportsItsBalanceApart) {
  const TinyRun tiny;
  TrainConfig config = tiny_mixture(tiny, "run");
  config.train.steps = 60;
  config.train.dropout = 0;
  config.sample.every = 30;
  config.sample.prompt = "the cat";
  config.sample.tokens = 4;
  const TrainOutcome outcome = run(config);
  ASSERT_TRUE(outcome.valid_loss && outcome.valid_loss_start);
  EXPECT_LT(*outcome.valid_loss, 0.6 * *outcome.valid_loss_start);
  for (const StepMetrics& step : read_metrics(tiny.path("run/metrics.jsonl"))) {
    EXPECT_GT(step.aux_loss, 1.9) << step.step;  // 2 is even, 4 all to the same two
    EXPECT_LT(step.aux_loss, 4.1) << step.step;
    EXPECT_LT(step.loss, 7) << step.step;
  }
  const auto saved = bundle::Bundle::open(outcome.checkpoint);
  EXPECT_EQ(saved.config().mixture.experts, 4);
  EXPECT_TRUE(saved.config().mixture.balance);
  EXPECT_THAT(saved.open_weights().names(),
              ::testing::IsSupersetOf({"model.layers.1.block_sparse_moe.gate.weight",
                                       "model.layers.0.block_sparse_moe.experts.3.w2.weight"}));
}

// Microbatches, threads and a stop in the middle change no bit, in either dtype.
TEST(MixtureTraining, ResumingGoesOnBitForBit) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const TinyRun tiny;
    TrainConfig straight = tiny_mixture(tiny, "straight");
    straight.moe.capacity = 1.25;
    straight.moe.router = Router::kGShard;
    straight.train.dtype = dtype;
    run(straight);
    TrainConfig halves = straight;
    halves.run.dir = tiny.path("halves");
    halves.train.steps = 10;
    TrainHooks hooks = quiet();
    int64_t done = 0;
    hooks.on_step = [&](const StepMetrics& metrics) { done = metrics.step; };
    hooks.stop = [&] { return done == 4; };
    EXPECT_EQ(train(halves, hooks).exit_code(), 130);
    halves.run.threads = 2;
    resume(halves);
    EXPECT_EQ(learning_log(halves.run.dir), learning_log(straight.run.dir));
    EXPECT_EQ(learnt_bytes(halves.run.dir), learnt_bytes(straight.run.dir));
  }
}

TEST(MixtureTraining, ASwitchModelSaysHowItWasTrained) {
  const TinyRun tiny;
  TrainConfig config = tiny_mixture(tiny, "run");
  config.model.experts_per_token = 1;
  config.moe.router = Router::kSwitch;
  config.moe.capacity = 1;
  config.moe.aux_loss_coef = 0.01;
  config.train.steps = 2;
  TrainOutcome outcome;
  EXPECT_THAT(log_of([&] { outcome = run(config); }), HasSubstr("norm_topk_prob=false"));
  const models::MixtureConfig saved = bundle::Bundle::open(outcome.checkpoint).config().mixture;
  EXPECT_EQ(saved, (models::MixtureConfig{.experts = 4,
                                          .per_token = 1,
                                          .renormalise = false,
                                          .balance = true,
                                          .coefficient = 0.01}));
}

models::DecoderConfig small_mixture() {
  ModelSection model;
  model.family = "mixtral";
  model.width = 24;
  model.layers = 2;
  model.heads = 3;
  model.kv_heads = 1;
  model.ffn = 40;
  model.experts = 4;
  return model.decoder(61, 32);
}

// `count` microbatches that are all the same.
data::StepBatch equal_microbatches(int count) {
  data::Batch batch;
  batch.rows = 2;
  batch.seq = 12;
  std::mt19937 random(3);
  for (int32_t i = 0; i < 24; ++i) {
    batch.tokens.push_back(static_cast<int32_t>(random() % 61));
    batch.targets.push_back(static_cast<int32_t>(random() % 61));
    batch.positions.push_back(i % 12);
  }
  batch.row_start = {0, 12, 24};
  batch.valid_tokens = 24;
  data::StepBatch step;
  step.microbatches.assign(static_cast<size_t>(count), batch);
  step.valid_tokens = 24 * count;
  return step;
}

StepSpec spec_of(const models::DecoderConfig& model, DType dtype = DType::kF32) {
  return {.model = model, .update = {}, .dtype = dtype, .max_tokens = 24, .max_seqs = 2};
}

TEST(MixtureTraining, TheBalanceIsTheMeanOverMicrobatches) {
  const models::DecoderConfig model = small_mixture();
  std::vector<StepResult> results;
  std::vector<std::map<std::string, std::vector<float>>> gradients;
  for (const int microbatches : {1, 3}) {
    ThreadPool pool(2);
    runtime::VariableStore store(5);
    const StepSpec spec = spec_of(model);
    TrainingStep step(build_training_graph(spec), spec, store,
                      kernels::kernel_table(best_isa_tier()), pool);
    results.push_back(step.run(equal_microbatches(microbatches), 9, 1, 1e-3));
    for (const auto& [parameter, gradient] : step.gradient_of()) {
      const auto values = store.at(gradient).span<float>();
      gradients.resize(results.size());
      gradients.back()[parameter].assign(values.begin(), values.end());
    }
  }
  EXPECT_NEAR(results[1].aux_loss, results[0].aux_loss, 1e-6);
  EXPECT_NEAR(results[1].loss, results[0].loss, 1e-5);
  for (const auto& [parameter, wanted] : gradients[0]) {
    for (size_t i = 0; i < wanted.size(); ++i) {
      ASSERT_NEAR(gradients[1][parameter][i], wanted[i], 1e-6) << parameter << "[" << i << "]";
    }
  }
}

// bf16 keeps routers as they are: no shadow, and a loss near that of f32.
TEST(MixtureTraining, RoutersStayInF32) {
  const StepSpec spec = spec_of(small_mixture(), DType::kBF16);
  const TrainingGraph training = build_training_graph(spec);
  const graph::Graph& graph = training.graph;
  EXPECT_TRUE(graph.find_variable("layers.0.mlp.experts.up.weight.shadow").has_value());
  EXPECT_FALSE(graph.find_variable("layers.0.mlp.router.weight.shadow").has_value());
  std::vector<double> losses;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    ThreadPool pool(2);
    runtime::VariableStore store(5);
    TrainingStep step(build_training_graph(spec_of(small_mixture(), dtype)),
                      spec_of(small_mixture(), dtype), store,
                      kernels::kernel_table(best_isa_tier()), pool);
    losses.push_back(step.run(equal_microbatches(1), 9, 1, 1e-3).loss);
  }
  EXPECT_NEAR(losses[1], losses[0], 0.02);
}

TEST(MixtureTraining, AStepAllocatesNothing) {
  if (!ashlar::testing::counts_heap_calls()) {
    GTEST_SKIP() << "the sanitizer has a malloc of its own";
  }
  const StepSpec spec = spec_of(small_mixture(), DType::kBF16);
  const data::StepBatch batch = equal_microbatches(2);
  ThreadPool pool(2);
  runtime::VariableStore store;
  TrainingStep step(build_training_graph(spec), spec, store, kernels::kernel_table(best_isa_tier()),
                    pool);
  for (int64_t i = 1; i <= 3; ++i) step.run(batch, 9, i, 1e-3);
  const int64_t before = ashlar::testing::heap_calls();
  step.run(batch, 9, 4, 1e-3);
  EXPECT_EQ(ashlar::testing::heap_calls(), before);
}

// MFU counts the experts a token goes to, not those there are.
TEST(MixtureTraining, FlopsAreThoseOfTheChosenExperts) {
  const auto flops = [](int64_t experts, int64_t per_token) {
    models::DecoderConfig model = small_mixture();
    model.mixture.experts = experts;
    model.mixture.per_token = per_token;
    graph::Bindings bindings;
    bindings[graph::Symbol::kTokens] = 24;
    bindings[graph::Symbol::kSeqs] = 2;
    const std::vector<int32_t> rows = {0, 12, 24};
    return model_flops(build_training_graph(spec_of(model)).graph, bindings, rows);
  };
  // Per layer and token: three products of 24 x 40 an expert, 24 a row of the router; each once
  // forward and twice backward.
  EXPECT_EQ(flops(4, 2) - flops(4, 1), 2.0 * 24 * 3 * 2 * (3 * 24 * 40));
  EXPECT_EQ(flops(8, 2) - flops(4, 2), 2.0 * 24 * 3 * 2 * (4 * 24));
}

TEST(MixtureTraining, KeysThatDoNotGoTogether) {
  ModelSection model;
  model.experts = 4;
  EXPECT_EQ(error_of([&] { model.decoder(61, 32); }),
            "config model.experts: llama has none; use model.family=mixtral");
  model.family = "mixtral";
  model.experts_per_token = 5;
  EXPECT_EQ(error_of([&] { model.decoder(61, 32); }),
            "config model.experts_per_token: 5 is more than model.experts=4");
  models::MixtureConfig mixture;
  MoeSection moe;
  moe.capacity = 1.5;
  EXPECT_EQ(error_of([&] { moe.apply(mixture); }),
            "config moe: the model has no experts; remove the keys under moe.");
  mixture.experts = 4;
  moe.router = Router::kSwitch;
  EXPECT_EQ(error_of([&] { moe.apply(mixture); }),
            "config moe.router: switch sends a token to 1 of the experts, the model to 2");
  moe = {};
  moe.padded = true;
  EXPECT_EQ(error_of([&] { moe.apply(mixture); }),
            "config moe.padded: messages are padded to a capacity; set moe.capacity");
  moe.capacity = 1.25;
  moe.apply(mixture);
  EXPECT_TRUE(mixture.padded);
  TrainConfig config;
  ConfigTable table(config);
  EXPECT_EQ(error_of([&] { table.set("moe.capacity=0"); }),
            "config moe.capacity: 0 is not positive");
}

}  // namespace
}  // namespace ashlar::train
