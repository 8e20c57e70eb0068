// The trainer over a pipeline: one progress line and run folder, validation through the stages,
// checkpoints that any layout goes on from, refusals.
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/train/checkpoint.h"
#include "tests/base/messages.h"
#include "tests/train/tiny_run.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <mutex>

namespace ashlar::train::testing {
namespace {

using ashlar::testing::error_of;
using ::testing::HasSubstr;

class PipeRun : public ::testing::Test {
 protected:
  TrainConfig config(const std::string& name, const MeshSection& mesh = {}) const {
    TrainConfig config = tiny_.config(name);
    config.model.layers = 4;
    config.model.kv_heads = 2;
    config.model.tied = true;
    config.train.microbatch = 1;
    config.valid.batches = 0;  // all: a batch is larger where data ranks share it
    config.mesh = mesh;
    return config;
  }

  // What the first rank says at the end.
  static TrainOutcome run(const TrainConfig& config) {
    const int ranks = Mesh::standard(config.mesh.sizes()).size();
    if (ranks == 1) return testing::run(config);
    TrainOutcome outcome;
    comm::run_ranks(ranks, [&](comm::Communicator& comm) {
      const TrainOutcome mine = train(config, quiet(), &comm);
      if (comm.rank() == 0) outcome = mine;
    });
    return outcome;
  }

  std::vector<StepMetrics> metrics(const std::string& name) const {
    return read_metrics(tiny_.path(name) + "/metrics.jsonl");
  }

  // Steps from `first` on are those of the other run.
  void expect_same(const std::string& found, const std::string& wanted, size_t first = 0) const {
    const auto mine = metrics(found), theirs = metrics(wanted);
    ASSERT_EQ(mine.size(), theirs.size());
    for (size_t i = first; i < mine.size(); ++i) {
      EXPECT_NEAR(mine[i].loss, theirs[i].loss, 1e-5 * theirs[i].loss) << found << ", " << i + 1;
      EXPECT_NEAR(mine[i].grad_norm, theirs[i].grad_norm, 1e-4 * theirs[i].grad_norm);
      EXPECT_EQ(mine[i].lr, theirs[i].lr);
      EXPECT_EQ(mine[i].tokens, theirs[i].tokens);
      ASSERT_EQ(mine[i].valid_loss.has_value(), theirs[i].valid_loss.has_value());
      if (!mine[i].valid_loss) continue;
      EXPECT_NEAR(*mine[i].valid_loss, *theirs[i].valid_loss, 1e-5 * *theirs[i].valid_loss);
    }
  }

  TinyRun tiny_;
};

TEST_F(PipeRun, LearnsAsOneRankDoes) {
  const TrainConfig one = config("one");
  run(one);
  EXPECT_TRUE(metrics("one")[4].valid_loss.has_value());
  const auto same = [&](const std::string& name, const MeshSection& mesh, auto&& change) {
    TrainConfig config = this->config(name, mesh);
    change(config);
    const TrainOutcome outcome = run(config);
    expect_same(name, "one");
    EXPECT_GT(outcome.planned_bytes, 0);
    const std::string log = read_file(tiny_.path(name) + "/metrics.jsonl");
    EXPECT_THAT(log, HasSubstr("\"pipe\":"));
    EXPECT_THAT(log, HasSubstr("\"slowest_rank\":"));
  };
  same("1f1b", {.pipe = 4}, [](TrainConfig&) {});
  same("zb-v", {.pipe = 2}, [](TrainConfig& config) { config.parallel.schedule = "zb-v"; });
  same("chimera", {.pipe = 2}, [](TrainConfig& config) { config.parallel.schedule = "chimera"; });
  same("optimistic", {.pipe = 2}, [](TrainConfig& config) {
    config.parallel.schedule = "zb-h2";
    config.parallel.optimistic = true;
  });
  same("mixed", {.data = 2, .tensor = 2, .pipe = 2}, [](TrainConfig& config) {
    config.parallel.zero = 1;
    config.parallel.sequence = true;
    config.recompute = passes::Recompute::kFull;
  });
}

// f16 whose scale overflows, is halved and grows again: updates that came too early are taken back,
// forwards that had begun are run anew. To the bit the run that waits for every norm.
TEST_F(PipeRun, OptimisticStepsHonourTheLossScale) {
  const auto learn = [&](const std::string& name, bool optimistic) {
    TrainConfig config = this->config(name, {.pipe = 2});
    config.parallel.schedule = "zb-h2";
    config.parallel.optimistic = optimistic;
    config.train.dtype = DType::kF16;
    config.train.loss_scale = 0x1p27;
    config.train.loss_scale_steps = 2;
    config.train.steps = 24;
    config.valid.every = 0;
    config.checkpoint.every = 0;
    run(config);
    return metrics(name);
  };
  const auto patient = learn("patient", false), hasty = learn("hasty", true);
  ASSERT_EQ(patient.size(), hasty.size());
  int skipped = 0, grown = 0;
  for (size_t i = 0; i < patient.size(); ++i) {
    EXPECT_EQ(hasty[i].loss, patient[i].loss) << "step " << i + 1;
    EXPECT_EQ(hasty[i].skipped, patient[i].skipped) << "step " << i + 1;
    EXPECT_EQ(hasty[i].loss_scale, patient[i].loss_scale) << "step " << i + 1;
    if (!patient[i].skipped) {
      EXPECT_EQ(hasty[i].grad_norm, patient[i].grad_norm) << "step " << i + 1;
    }
    skipped += patient[i].skipped;
    grown += i > 0 && *patient[i].loss_scale > *patient[i - 1].loss_scale;
  }
  EXPECT_GT(skipped, 1);
  EXPECT_GT(grown, 1);
  EXPECT_LT(patient.back().loss, patient.front().loss);
}

// The next step has begun when the run is asked to stop: it is forgotten, and resumed with the
// batch that it had. To the bit the run that waits for every norm.
TEST_F(PipeRun, StopsAndGoesOnBetweenOptimisticSteps) {
  const auto of = [&](const std::string& name, bool optimistic) {
    TrainConfig config = this->config(name, {.data = 2, .pipe = 2});
    config.parallel.schedule = "zb-h2";
    config.parallel.optimistic = optimistic;
    config.valid.every = 0;
    config.checkpoint.every = 0;
    config.train.steps = 8;
    return config;
  };
  run(of("patient", false));
  TrainConfig hasty = of("hasty", true);
  comm::run_ranks(4, [&](comm::Communicator& comm) {
    TrainHooks hooks = quiet();
    int steps = 0;
    hooks.stop = [&] { return ++steps == 3 && comm.rank() == 1; };
    const TrainOutcome outcome = train(hasty, hooks, &comm);
    EXPECT_TRUE(outcome.interrupted);
    EXPECT_EQ(outcome.last_step, 3);
  });
  hasty.run.resume = true;
  EXPECT_EQ(run(hasty).first_step, 4);
  const auto found = metrics("hasty"), wanted = metrics("patient");
  ASSERT_EQ(found.size(), 8);
  ASSERT_EQ(wanted.size(), 8);
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(found[i].loss, wanted[i].loss) << "step " << i + 1;
    EXPECT_EQ(found[i].grad_norm, wanted[i].grad_norm) << "step " << i + 1;
    EXPECT_EQ(found[i].epoch, wanted[i].epoch) << "step " << i + 1;
  }
}

// 16 bits round where one rank does; f16's loss scale is that of the job. With ZeRO data ranks hold
// shards of the f32 masters.
TEST_F(PipeRun, In16Bits) {
  const auto of = [&](DType dtype, DType grad_dtype, const std::string& name,
                      const MeshSection& mesh) {
    const std::string dir =
        fmt::format("{} {} {}", ashlar::name(dtype), ashlar::name(grad_dtype), name);
    TrainConfig config = this->config(dir, mesh);
    config.train.dtype = dtype;
    config.train.grad_dtype = grad_dtype;
    config.train.loss_scale_steps = 3;
    config.parallel.zero = mesh.data > 1 ? 1 : 0;
    run(config);
    return metrics(dir);
  };
  for (const auto& [dtype, grad_dtype] : {std::pair(DType::kBF16, DType::kF32),
                                          {DType::kBF16, DType::kBF16},
                                          {DType::kF16, DType::kF32}}) {
    const auto one = of(dtype, DType::kF32, fmt::format("one for {}", name(grad_dtype)), {});
    for (const MeshSection& mesh : {MeshSection{.pipe = 2}, {.data = 2, .pipe = 2}}) {
      const auto pipe = of(dtype, grad_dtype, fmt::format("data {}", mesh.data), mesh);
      ASSERT_EQ(one.size(), pipe.size());
      for (size_t i = 0; i < one.size(); ++i) {
        EXPECT_NEAR(pipe[i].loss, one[i].loss, 0.01 * one[i].loss);
        EXPECT_EQ(pipe[i].loss_scale, one[i].loss_scale);
        EXPECT_EQ(pipe[i].skipped, one[i].skipped);
        if (one[i].skipped) continue;
        EXPECT_NEAR(pipe[i].grad_norm, one[i].grad_norm, 0.05 * one[i].grad_norm);
      }
    }
  }
}

// ST4: what one layout saves, another goes on from, and its next ten losses are the same.
TEST_F(PipeRun, AnyLayoutGoesOn) {
  const auto of = [&](const std::string& name, const MeshSection& mesh) {
    TrainConfig config = this->config(name, mesh);
    config.train.steps = 12;
    config.checkpoint.every = 2;
    config.checkpoint.keep = 0;
    return config;
  };
  const std::vector<std::pair<std::string, MeshSection>> layouts = {
      {"single", {}}, {"pipe", {.pipe = 4}}, {"cube", {.data = 2, .tensor = 2, .pipe = 2}}};
  for (const auto& [from, mesh] : layouts) {
    run(of(from, mesh));
    expect_same(from, "single");
    EXPECT_EQ(bundle::Bundle::open(checkpoint_folder(tiny_.path(from), 12)).config().layers, 4);
  }
  for (const auto& [from, saved] : layouts) {
    for (const auto& [to, mesh] : layouts) {
      if (from == to) continue;
      const std::string name = from + " to " + to;
      std::filesystem::create_directories(tiny_.path(name));
      std::filesystem::copy(tiny_.path(from), tiny_.path(name),
                            std::filesystem::copy_options::recursive);
      for (int step = 4; step <= 12; step += 2) {
        std::filesystem::remove_all(checkpoint_folder(tiny_.path(name), step));
      }
      TrainConfig config = of(name, mesh);
      config.run.resume = true;
      EXPECT_EQ(run(config).first_step, 3) << name;
      expect_same(name, "single", 2);
    }
  }
}

TEST_F(PipeRun, RefusesWhatDoesNotFit) {
  const auto refused = [&](const MeshSection& mesh, auto&& change) {
    TrainConfig config = this->config("refused", mesh);
    change(config);
    return error_of([&] { run(config); });
  };
  EXPECT_THAT(
      refused({.pipe = 5}, [](TrainConfig&) {}),
      HasSubstr("config mesh.pipe: 4 layers do not fill 5 ranks of 1 stages (1f1b); at most "
                "4 ranks"));
  EXPECT_THAT(refused({.pipe = 2},
                      [](TrainConfig& config) {
                        config.parallel.schedule = "hanayo";
                        config.parallel.chunks = 4;
                      }),
              HasSubstr("take a schedule of one stage a rank, such as 1f1b"));
  EXPECT_THAT(refused({.pipe = 2}, [](TrainConfig& config) { config.sample.every = 5; }),
              HasSubstr("config sample.every: samples need the whole model"));
}

// Weights that are not finite: the rank and stage that meet them say so, and nothing hangs.
TEST_F(PipeRun, SaysWhatIsNotFinite) {
  TrainConfig config = this->config("wild", {.pipe = 2});
  config.train.lr = 1e30;
  config.train.clip = 0;
  config.train.warmup = 0;
  EXPECT_THAT(error_of([&] { run(config); }), HasSubstr("is not finite"));
  config.parallel.schedule = "zb-h2";  // with the next step begun
  config.parallel.optimistic = true;
  config.valid.every = config.checkpoint.every = 0;
  config.run.dir += " optimistic";
  EXPECT_THAT(error_of([&] { run(config); }), HasSubstr("is not finite"));
}

}  // namespace
}  // namespace ashlar::train::testing
