// Update rules and schedules: gradient accumulation, Muon against its reference, who decays.
#include "ashlar/train/update_rule.h"

#include "ashlar/base/philox.h"
#include "ashlar/graph/ops/muon.h"
#include "ashlar/kernels/ref/muon.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/runtime/executor.h"
#include "ashlar/runtime/reference_run.h"
#include "ashlar/train/learning_rate.h"
#include "ashlar/train/training_step.h"
#include "tests/base/heap_calls.h"
#include "tests/train/tiny_run.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ashlar::train {
namespace {

models::DecoderConfig small_model(double dropout) {
  ModelSection model;
  model.width = 24;
  model.layers = 2;
  model.heads = 3;
  model.kv_heads = 1;
  model.ffn = 40;
  models::DecoderConfig config = model.decoder(61, 32);
  config.residual_dropout = config.embedding_dropout = config.attention_dropout = dropout;
  return config;
}

// rows of 12 random tokens; row i has i + 1 masked targets, so microbatches count unequal numbers.
data::StepBatch random_batch(int64_t rows, int64_t microbatch) {
  constexpr int64_t kSeq = 12;
  const RandomStream random(3, "batch");
  data::StepBatch step;
  for (int64_t first = 0; first < rows; first += microbatch) {
    data::Batch batch;
    batch.rows = microbatch;
    batch.seq = kSeq;
    for (int64_t row = first; row < first + microbatch; ++row) {
      batch.row_start.push_back(static_cast<int32_t>(batch.tokens.size()));
      for (int64_t i = 0; i < kSeq; ++i) {
        const auto at = static_cast<uint64_t>(row * kSeq + i);
        batch.tokens.push_back(static_cast<int32_t>(random.below(2 * at, 61)));
        batch.targets.push_back(i <= row ? -1 : static_cast<int32_t>(random.below(2 * at + 1, 61)));
        batch.positions.push_back(static_cast<int32_t>(i));
        batch.valid_tokens += i > row;
      }
    }
    batch.row_start.push_back(static_cast<int32_t>(batch.tokens.size()));
    step.valid_tokens += batch.valid_tokens;
    step.microbatches.push_back(std::move(batch));
  }
  return step;
}

struct AfterSteps {
  std::vector<StepResult> results;
  runtime::VariableStore store{5};
  std::map<std::string, std::string> gradient_of;
};

void run_steps(AfterSteps& after, int64_t microbatch, const UpdateRule& rule, double dropout) {
  const data::StepBatch batch = random_batch(6, microbatch);
  const StepSpec spec{.model = small_model(dropout),
                      .update = rule,
                      .max_tokens = microbatch * 12,
                      .max_seqs = microbatch};
  ThreadPool pool(2);
  TrainingStep step(build_training_graph(spec), spec, after.store,
                    kernels::kernel_table(best_isa_tier()), pool);
  for (int64_t i = 1; i <= 3; ++i) after.results.push_back(step.run(batch, 9, i, 1e-3));
  after.gradient_of = step.gradient_of();
}

TEST(UpdateRuleTest, MicrobatchesAddUpToTheBatch) {
  for (const double dropout : {0.0, 0.2}) {
    AfterSteps whole;
    run_steps(whole, 6, {}, dropout);
    for (const int64_t microbatch : {1, 2, 3}) {
      AfterSteps parts;
      run_steps(parts, microbatch, {}, dropout);
      for (size_t i = 0; i < 3; ++i) {
        EXPECT_NEAR(parts.results[i].loss, whole.results[i].loss, 1e-6 * whole.results[i].loss);
        EXPECT_NEAR(parts.results[i].grad_norm, whole.results[i].grad_norm,
                    1e-6 * whole.results[i].grad_norm);
      }
      for (const auto& [parameter, gradient] : whole.gradient_of) {
        const auto expected = whole.store.at(gradient).span<float>();
        const auto found = parts.store.at(gradient).span<float>();
        for (size_t i = 0; i < expected.size(); ++i) {
          ASSERT_NEAR(found[i], expected[i], 1e-6) << parameter << "[" << i << "]";
        }
      }
    }
  }
}

TEST(UpdateRuleTest, AStepAllocatesNothingWhateverItsBatch) {
  if (!ashlar::testing::counts_heap_calls()) {
    GTEST_SKIP() << "the sanitizer has a malloc of its own";
  }
  for (const Optimizer optimizer : {Optimizer::kAdamW, Optimizer::kMuon}) {
    UpdateRule rule;
    rule.optimizer = optimizer;
    const StepSpec spec{.model = small_model(0.1),
                        .update = rule,
                        .dtype = DType::kBF16,
                        .max_tokens = 3 * 12,
                        .max_seqs = 3};
    const data::StepBatch large = random_batch(6, 3), small = random_batch(6, 1);
    ThreadPool pool(2);
    runtime::VariableStore store;
    TrainingStep step(build_training_graph(spec), spec, store,
                      kernels::kernel_table(best_isa_tier()), pool);
    for (int64_t i = 1; i <= 3; ++i) step.run(large, 9, i, 1e-3);
    const int64_t before = ashlar::testing::heap_calls();
    step.run(small, 9, 4, 1e-3);
    step.run(large, 9, 5, 1e-3);
    EXPECT_EQ(ashlar::testing::heap_calls(), before);
  }
}

// Gradients stay as they are; what the moments take in is scaled to the norm allowed.
TEST(UpdateRuleTest, ClippingScalesWhatTheUpdateSees) {
  for (const double share : {0.25, 4.0}) {  // of the norm there is
    StepSpec spec{.model = small_model(0), .update = {}, .max_tokens = 6 * 12, .max_seqs = 6};
    const data::StepBatch batch = random_batch(6, 6);
    ThreadPool pool(2);
    const auto step_with = [&](double clip, runtime::VariableStore& store) {
      spec.update.clip = clip;
      TrainingStep step(build_training_graph(spec), spec, store,
                        kernels::kernel_table(best_isa_tier()), pool);
      return std::pair{step.run(batch, 9, 1, 1e-3).grad_norm, step.gradient_of()};
    };
    runtime::VariableStore free(5), clipped(5);
    const double norm = step_with(0, free).first;
    const auto [same_norm, gradient_of] = step_with(share * norm, clipped);
    EXPECT_EQ(same_norm, norm);  // as it was before
    const double scale = std::min(1.0, share) * (1 - spec.update.adamw.beta1);
    double squares = 0;
    for (const auto& [parameter, gradient] : gradient_of) {
      const auto grad = clipped.at(gradient).span<float>();
      const auto moment = clipped.at(parameter + ".m").span<float>();
      for (size_t i = 0; i < grad.size(); ++i) {
        const auto g = static_cast<double>(grad[i]);
        squares += g * g;
        ASSERT_NEAR(static_cast<double>(moment[i]), scale * g, 1e-5 * std::abs(g) + 1e-12);
      }
    }
    EXPECT_NEAR(std::sqrt(squares), norm, 1e-5 * norm);
  }
}

// With no gradient left after clipping to almost nothing, what moves a parameter is decay.
TEST(UpdateRuleTest, DecayIsForMatricesOrForAll) {
  for (const Decay decay : {Decay::kMatrices, Decay::kAll}) {
    UpdateRule rule;
    rule.decay = decay;
    rule.adamw.eps = 1e12;  // AdamW's own step is nothing
    AfterSteps after;
    run_steps(after, 6, rule, 0);
    const float norm = after.store.at("final_norm.weight").span<float>()[0];
    EXPECT_EQ(norm < 1, decay == Decay::kAll) << norm;
  }
}

TEST(UpdateRuleTest, MuonIsForMatricesOfLayers) {
  UpdateRule rule;
  rule.optimizer = Optimizer::kMuon;
  AfterSteps after;
  run_steps(after, 3, rule, 0);
  EXPECT_TRUE(after.store.contains("layers.0.attn.q.weight.momentum"));
  EXPECT_FALSE(after.store.contains("layers.0.attn.q.weight.m"));
  for (const char* name : {"embed.weight", "head.weight"}) {
    EXPECT_TRUE(after.store.contains(std::string(name) + ".v")) << name;
  }
  EXPECT_LT(after.results[2].loss, after.results[0].loss);
}

class MuonTest : public ::testing::TestWithParam<IsaTier> {};

TEST_P(MuonTest, EqualsItsReference) {
  if (!can_run(GetParam())) {
    GTEST_SKIP() << "tier " << name(GetParam()) << " cannot run on this machine";
  }
  for (const auto& [rows, cols] : {std::pair{7, 33}, {33, 7}, {17, 17}, {96, 320}}) {
    graph::Graph g;
    graph::Builder b(g, graph::Phase::kUpdate);
    const Shape shape{rows, cols};
    const graph::Init normal{graph::Init::Kind::kNormal, 0.3f, {}};
    const auto param = b.parameter("w", shape, {"out", "in"}, normal);
    const auto grad = b.parameter("g", shape, {"out", "in"}, normal);
    const auto momentum = b.parameter("m", shape, {"out", "in"}, normal);
    const auto lr = b.input("lr", DType::kF32, {1}), scale = b.input("scale", DType::kF32, {1});
    const auto out = b.apply(std::make_shared<graph::MuonOp>(graph::MuonSpec{0.95, 0.1}),
                             {param, grad, momentum, lr, scale}, "update");
    g.mark_output("w", out[0]);

    runtime::VariableStore store(4);
    store.add_missing(g);
    runtime::ReferenceRun reference(g, {}, store);
    reference.set_input("lr", std::vector<double>{0.02});
    reference.set_input("scale", std::vector<double>{0.5});
    reference.run({});

    std::vector<float> first;
    for (const int threads : {1, 3}) {
      runtime::VariableStore fresh(4);
      fresh.add_missing(g);
      ThreadPool pool(threads);
      const kernels::KernelTable& table = kernels::kernel_table(GetParam());
      runtime::Executor executor(
          g, passes::plan_memory(g, {.max = {}, .table = &table, .threads = threads}), fresh, table,
          pool);
      const float lr_value = 0.02f, scale_value = 0.5f;
      executor.bind_input("lr", &lr_value);
      executor.bind_input("scale", &scale_value);
      executor.run(0, {}, {});
      for (const char* variable : {"w", "m"}) {
        const auto found = fresh.at(variable).span<float>();
        const auto& expected = reference.variable(variable);
        for (size_t i = 0; i < found.size(); ++i) {
          // The iteration amplifies f32's rounding of small singular directions.
          ASSERT_NEAR(static_cast<double>(found[i]), expected[i], 2e-5)
              << variable << "[" << i << "] of " << rows << "x" << cols;
        }
      }
      const auto weights = fresh.at("w").span<float>();
      if (first.empty()) first.assign(weights.begin(), weights.end());
      EXPECT_TRUE(std::equal(first.begin(), first.end(), weights.begin()));
    }
  }
}

// The reference itself: it makes the singular values of what it applies about equal.
TEST(MuonReferenceTest, TheStepIsNearlyOrthogonal) {
  constexpr int64_t kRows = 5, kCols = 12;
  const RandomStream random(8, "muon");
  std::vector<double> param(kRows * kCols), momentum(kRows * kCols), grad(kRows * kCols);
  for (size_t i = 0; i < grad.size(); ++i) grad[i] = random.normal(i);
  kernels::ref::muon({.rows = kRows,
                      .cols = kCols,
                      .param = param.data(),
                      .momentum = momentum.data(),
                      .grad = grad.data(),
                      .lr = 1});
  const double scale = 0.2 * std::sqrt(static_cast<double>(kCols));
  for (int64_t i = 0; i < kRows; ++i) {
    for (int64_t j = 0; j < kRows; ++j) {
      double dot = 0;
      for (int64_t k = 0; k < kCols; ++k) {
        dot +=
            param[static_cast<size_t>(i * kCols + k)] * param[static_cast<size_t>(j * kCols + k)];
      }
      // The published coefficients leave singular values between about 0.7 and 1.2.
      EXPECT_NEAR(dot / (scale * scale), i == j ? 1.0 : 0.0, 0.5) << i << "," << j;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiers, MuonTest, ::testing::ValuesIn(all_isa_tiers()),
                         [](const auto& test) {
                           std::string text(name(test.param));
                           std::ranges::replace(text, '-', '_');
                           return text;
                         });

TEST(LearningRateTest, FollowsItsSchedule) {
  LearningRate rate{.peak = 1, .schedule = Schedule::kConstant, .steps = 110, .warmup = 10};
  EXPECT_DOUBLE_EQ(rate.at(1), 0.1);
  EXPECT_DOUBLE_EQ(rate.at(10), 1);
  EXPECT_DOUBLE_EQ(rate.at(110), 1);
  rate.schedule = Schedule::kLinear;
  EXPECT_DOUBLE_EQ(rate.at(60), 0.55);
  EXPECT_DOUBLE_EQ(rate.at(110), 0.1);
  rate.schedule = Schedule::kCosine;
  EXPECT_DOUBLE_EQ(rate.at(60), 0.55);
  EXPECT_NEAR(rate.at(35), 0.1 + 0.9 * (1 + std::sqrt(0.5)) / 2, 1e-12);
  EXPECT_DOUBLE_EQ(rate.at(110), 0.1);
  rate.schedule = Schedule::kWsd;
  rate.cooldown = 20;
  EXPECT_DOUBLE_EQ(rate.at(90), 1);
  EXPECT_DOUBLE_EQ(rate.at(100), 0.55);
  EXPECT_DOUBLE_EQ(rate.at(110), 0.1);
}

}  // namespace
}  // namespace ashlar::train
