// f16 with a scaled loss: what scaling saves, what an overflow leaves alone, and how the scale
// moves and survives.
#include "ashlar/train/loss_scale.h"

#include "ashlar/base/file.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/formats/safetensors.h"
#include "ashlar/graph/ops/loss.h"
#include "ashlar/train/checkpoint.h"
#include "ashlar/train/training_step.h"
#include "tests/base/messages.h"
#include "tests/graph/counter_values.h"
#include "tests/graph/graph_run.h"
#include "tests/train/tiny_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

namespace ashlar::train {
namespace {

using ashlar::testing::error_of;
using ::testing::Each;
using ::testing::HasSubstr;
using namespace testing;  // NOLINT: tiny runs

TEST(LossScaleTest, DoublesAfterGoodStepsAndHalvesOnOverflow) {
  LossScale scale(1024, 3);
  scale.good_step();
  scale.good_step();
  EXPECT_EQ(scale.scale(), 1024);
  scale.good_step();
  EXPECT_EQ(scale.state(), (LossScale::State{2048, 0, 0}));
  scale.good_step();
  scale.good_step();
  EXPECT_TRUE(scale.overflow());
  EXPECT_EQ(scale.state(), (LossScale::State{1024, 0, 1}));  // good steps count anew
  LossScale other(1, 1);
  other.restore(scale.state());
  EXPECT_EQ(other.state(), scale.state());
}

TEST(LossScaleTest, HasBothEnds) {
  LossScale low(2, 0);
  EXPECT_TRUE(low.overflow());
  EXPECT_FALSE(low.overflow());
  EXPECT_EQ(low.scale(), 1);
  for (int i = 0; i < 100; ++i) low.good_step();
  EXPECT_EQ(low.scale(), 1);  // growth 0: never
  LossScale high(1, 1);
  for (int i = 0; i < 100; ++i) high.good_step();
  EXPECT_EQ(high.scale(), 0x1p32);
}

// d_x of a loss, in f16, where the gradients are below half of f16's smallest number.
std::vector<double> input_gradient(float loss_scale, bool in_double) {
  constexpr int64_t kRows = 6, kVocab = 11, kWidth = 8;
  constexpr float kTiny = 0x1p-27f;
  const graph::Graph graph = graph::with_backward([&](graph::Builder& b) {
    return graph::linear_cross_entropy(b,
                                       b.input("x", DType::kF16, {graph::Symbol::kTokens, kWidth}),
                                       b.parameter("w", {kVocab, kWidth}, {}, {}, DType::kF16),
                                       b.input("targets", DType::kI32, {graph::Symbol::kTokens}),
                                       b.input("scale", DType::kF32, {1}), "loss");
  });
  graph::RunData data{.bindings = graph::bind_tokens(kRows)};
  data.floats["scale"] = {kTiny * loss_scale};
  data.ints["targets"] = graph::counter_ids("targets", kRows, kVocab);
  const graph::RunResult run =
      in_double ? graph::run_reference(graph, data) : graph::run_fast(graph, data, best_isa_tier());
  std::vector<double> result = run.outputs.at("d_x").values;
  for (double& value : result) value /= static_cast<double>(loss_scale);
  return result;
}

TEST(LossScaleTest, TinyGradientsVanishWithoutAndSurviveWith) {
  const std::vector<double> wanted = input_gradient(1, true);
  for (const double value : wanted) {
    ASSERT_NE(value, 0);
    ASSERT_LT(std::abs(value), 0x1p-25);
  }
  EXPECT_THAT(input_gradient(1, false), Each(0.0));
  graph::expect_close(input_gradient(65536, false), wanted, 0x1p-10, "d_x of a scaled loss");
}

struct Trained {
  runtime::VariableStore store{5};
  std::optional<ThreadPool> pool;
  std::optional<TrainingStep> step;
  data::StepBatch batch;

  explicit Trained(LossScale scale) {
    ModelSection model;
    model.width = 24;
    model.layers = 2;
    model.heads = 3;
    model.ffn = 40;
    StepSpec spec{.model = model.decoder(61, 32), .update = {}};
    spec.dtype = DType::kF16;
    spec.loss_scale = scale;
    spec.update.scaled_loss = true;
    spec.max_tokens = 12;
    spec.max_seqs = 1;
    pool.emplace(1);
    step.emplace(build_training_graph(spec), spec, store, kernels::kernel_table(best_isa_tier()),
                 *pool);
    data::Batch rows;
    rows.rows = 1;
    rows.seq = 12;
    rows.row_start = {0, 12};
    rows.tokens = graph::counter_ids("tokens", 12, 61);
    rows.targets = graph::counter_ids("targets", 12, 61);
    for (int32_t i = 0; i < 12; ++i) rows.positions.push_back(i);
    batch.valid_tokens = rows.valid_tokens = 12;
    batch.microbatches.push_back(rows);
  }

  // Everything but gradients: parameters, shadows and moments, as bytes.
  std::map<std::string, std::string> state() const {
    std::map<std::string, std::string> result;
    for (const auto& [name, tensor] : store.tensors()) {
      if (name.ends_with(".grad")) continue;
      result[name] = std::string(reinterpret_cast<const char*>(tensor.data()), tensor.bytes());
    }
    return result;
  }
};

TEST(LossScaleTest, AnOverflowLeavesEverythingAndHalvesTheScale) {
  Trained trained(LossScale(0x1p31, 2));  // gradients of activations exceed 65504
  const auto before = trained.state();
  const StepResult first = trained.step->run(trained.batch, 9, 1, 1e-3);
  EXPECT_TRUE(first.skipped);
  EXPECT_TRUE(std::isfinite(first.loss));
  EXPECT_EQ(first.loss_scale, 0x1p31);
  EXPECT_EQ(trained.step->loss_scale().scale(), 0x1p30);
  EXPECT_EQ(trained.state(), before);
  // It falls until gradients fit, trains, and grows again.
  int64_t step = 2;
  StepResult result = first;
  for (; result.skipped && step < 40; ++step) {
    EXPECT_EQ(trained.state(), before);
    result = trained.step->run(trained.batch, 9, step, 1e-3);
  }
  ASSERT_FALSE(result.skipped);
  EXPECT_NE(trained.state(), before);
  // AdamW's first step is as long as the rate, however many were skipped before it.
  const auto after = trained.state();
  const auto* was = reinterpret_cast<const float*>(before.at("head.weight").data());
  const auto* is = reinterpret_cast<const float*>(after.at("head.weight").data());
  double longest = 0;
  for (size_t i = 0; i < after.at("head.weight").size() / sizeof(float); ++i) {
    longest = std::max(longest, std::abs(double{is[i]} - double{was[i]}));
  }
  EXPECT_NEAR(longest, 1e-3, 1e-5);
  EXPECT_TRUE(std::isfinite(result.grad_norm));
  const double fits = trained.step->loss_scale().scale();
  EXPECT_FALSE(trained.step->run(trained.batch, 9, step, 1e-3).skipped);
  EXPECT_EQ(trained.step->loss_scale().scale(), 2 * fits);
}

// The loss, the norm and the update are those of the loss as it is.
TEST(LossScaleTest, ScalingIsUndone) {
  Trained low(LossScale(256, 0)), high(LossScale(4096, 0));
  for (int64_t step = 1; step <= 3; ++step) {
    const StepResult a = low.step->run(low.batch, 9, step, 1e-3);
    const StepResult b = high.step->run(high.batch, 9, step, 1e-3);
    EXPECT_NEAR(a.loss, b.loss, 2e-3 * a.loss);
    EXPECT_NEAR(a.grad_norm, b.grad_norm, 5e-3 * a.grad_norm);
    EXPECT_LT(a.loss, 6);
    EXPECT_GT(a.grad_norm, 0.01);
    EXPECT_LT(a.grad_norm, 100);
  }
}

TEST(LossScaleTest, AnInfinityThatNoScaleExplainsIsNamed) {
  Trained trained(LossScale(1, 0));
  for (const auto& [name, tensor] : trained.store.tensors()) {
    if (!name.ends_with("norm.weight")) continue;
    Tensor& norm = trained.store.at(name);
    std::fill_n(norm.as<float>(), norm.elements(), 1e30f);
  }
  EXPECT_THAT(error_of([&] { trained.step->run(trained.batch, 9, 1, 1e-3); }),
              HasSubstr("training: step 1: the "));
}

// 60 steps of a small model of text, in 16 bits and in 32.
TEST(LossScaleTest, SixteenBitsLearnAsWellAsThirtyTwo) {
  const TinyRun tiny;
  const auto final_loss = [&](const std::string& name, auto change) {
    TrainConfig config = tiny.config(name);
    config.train.steps = 60;
    config.train.dropout = 0;
    config.checkpoint.every = 0;
    change(config.train);
    run(config);
    const auto steps = read_metrics(join_path(config.run.dir, "metrics.jsonl"));
    double mean = 0;  // of the last ten, whose batches are the same
    for (size_t i = steps.size() - 10; i < steps.size(); ++i) mean += steps[i].loss / 10;
    return mean;
  };
  const double f32 = final_loss("f32", [](TrainSection&) {});
  const double bf16 = final_loss("bf16", [](TrainSection& t) { t.dtype = DType::kBF16; });
  const double f16 = final_loss("f16", [](TrainSection& t) { t.dtype = DType::kF16; });
  RecordProperty("losses", fmt::format("{} f32, {} bf16, {} f16", f32, bf16, f16));
  EXPECT_LT(f32, 3);  // it has learnt something
  EXPECT_NEAR(bf16, f32, 0.01 * f32);
  EXPECT_NEAR(f16, f32, 0.01 * f32);
}

// A run whose scale overflows and grows, and one that was interrupted in between.
TEST(LossScaleTest, ACheckpointHoldsTheScale) {
  const TinyRun tiny;
  TrainConfig straight = tiny.config("straight");
  straight.train.dtype = DType::kF16;
  straight.train.loss_scale = 0x1p30;
  straight.train.loss_scale_steps = 3;
  straight.train.steps = 30;
  straight.checkpoint.every = 17;
  straight.sample.every = 0;
  run(straight);
  const auto steps = read_metrics(join_path(straight.run.dir, "metrics.jsonl"));
  EXPECT_TRUE(steps.front().skipped);
  EXPECT_EQ(*steps[1].loss_scale, 0x1p29);
  EXPECT_FALSE(steps.back().skipped && steps[28].skipped);
  const TrainerState state = read_trainer_state(checkpoint_folder(straight.run.dir, 17));
  EXPECT_EQ(state.loss_scale, steps[17].loss_scale);

  TrainConfig halves = straight;
  halves.run.dir = tiny.path("halves");
  TrainHooks hooks = quiet();
  int64_t done = 0;
  hooks.on_step = [&](const StepMetrics& metrics) { done = metrics.step; };
  hooks.stop = [&] { return done == 16; };
  train(halves, hooks);
  EXPECT_EQ(resume(halves).first_step, 18);
  EXPECT_EQ(learning_log(halves.run.dir), learning_log(straight.run.dir));
  EXPECT_EQ(learnt_bytes(halves.run.dir), learnt_bytes(straight.run.dir));
}

TEST(LossScaleTest, WithoutMastersARunGoesOnBitForBit) {
  for (const Rounding rounding : {Rounding::kNearest, Rounding::kStochastic}) {
    const TinyRun tiny;
    TrainConfig straight = tiny.config("straight");
    straight.train.dtype = DType::kBF16;
    straight.train.master = Master::kNone;
    straight.train.rounding = rounding;
    straight.sample.every = 5;
    straight.sample.prompt = "the cat";
    straight.sample.tokens = 2;
    run(straight);
    TrainConfig halves = straight;
    halves.run.dir = tiny.path("halves");
    TrainHooks hooks = quiet();
    int64_t done = 0;
    hooks.on_step = [&](const StepMetrics& metrics) { done = metrics.step; };
    hooks.stop = [&] { return done == 4; };
    train(halves, hooks);
    halves.run.threads = 2;
    EXPECT_EQ(resume(halves).first_step, 6);
    EXPECT_EQ(learning_log(halves.run.dir), learning_log(straight.run.dir));
    EXPECT_EQ(learnt_bytes(halves.run.dir), learnt_bytes(straight.run.dir));
  }
}

// With a learning rate that bf16 does not see, matrices stand still; stochastic rounding moves
// them.
TEST(LossScaleTest, ARunWithoutMastersStallsUnlessRoundingIsStochastic) {
  const TinyRun tiny;
  const auto loss_after = [&](const std::string& name, Master master, Rounding rounding) {
    TrainConfig config = tiny.config(name);
    config.train.dtype = DType::kBF16;
    config.train.master = master;
    config.train.rounding = rounding;
    config.train.lr = 2e-5;
    config.train.schedule = Schedule::kConstant;
    config.train.warmup = 0;
    config.train.dropout = 0;
    config.train.weight_decay = 0;
    config.train.steps = 100;
    config.checkpoint.every = 0;
    return *run(config).valid_loss;
  };
  const double masters = loss_after("masters", Master::kF32, Rounding::kNearest);
  const double nearest = loss_after("nearest", Master::kNone, Rounding::kNearest);
  const double stochastic = loss_after("stochastic", Master::kNone, Rounding::kStochastic);
  RecordProperty("losses", fmt::format("{} {} {}", masters, nearest, stochastic));
  EXPECT_LT(std::abs(stochastic - masters), 0.3 * std::abs(nearest - masters))
      << masters << " with masters, " << nearest << " rounded to nearest, " << stochastic
      << " stochastically";
}

// Rounding draws by the element of the whole: data ranks that share moments, or gradients and
// parameters, come to the parameters of those that do not, to the bit. (Their norm is added up in
// another order, so nothing is clipped.)
TEST(LossScaleTest, StochasticRoundingIsThatOfAnyLayout) {
  const TinyRun tiny;
  const auto parameters = [&](int64_t zero) {
    TrainConfig config = tiny.config("zero" + std::to_string(zero));
    config.train.dtype = DType::kBF16;
    config.train.master = Master::kNone;
    config.train.rounding = Rounding::kStochastic;
    config.train.clip = 0;
    config.mesh.data = 2;
    config.parallel.zero = zero;
    std::string folder;
    comm::run_ranks(2, [&](comm::Communicator& comm) {
      const TrainOutcome mine = train(config, quiet(), &comm);
      if (comm.rank() == 0) folder = mine.checkpoint;
    });
    const formats::SafetensorsReader file(folder);  // in one shard or several
    std::map<std::string, std::string> found;
    for (const std::string& name : file.names()) {
      const Tensor tensor = file.tensor(name);
      found[name] = std::string(reinterpret_cast<const char*>(tensor.data()), tensor.bytes());
    }
    return found;
  };
  const auto whole = parameters(0);
  EXPECT_GT(whole.size(), 10u);
  EXPECT_TRUE(parameters(1) == whole);
  EXPECT_TRUE(parameters(3) == whole);
}

TEST(LossScaleTest, ConfigurationSaysWhatGoesTogether) {
  const TinyRun tiny;
  TrainConfig config = tiny.config("run");
  config.train.master = Master::kNone;
  EXPECT_EQ(error_of([&] { config.validate(); }),
            "config train.master: none, but train.dtype=f32; only bf16 parameters do without "
            "masters: set train.dtype=bf16 or train.master=f32");
  config.train.dtype = DType::kBF16;
  config.train.optimizer = Optimizer::kMuon;
  EXPECT_EQ(error_of([&] { config.validate(); }),
            "config train.master: none, but train.optimizer=muon updates f32 parameters: set "
            "train.optimizer=adamw or train.master=f32");
  config.train.master = Master::kF32;
  config.train.rounding = Rounding::kStochastic;
  EXPECT_EQ(error_of([&] { config.validate(); }),
            "config train.rounding: stochastic, but train.master=f32 is not rounded: set "
            "train.master=none or train.rounding=nearest");
}

}  // namespace
}  // namespace ashlar::train
