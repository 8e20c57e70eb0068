// `ashlar train` of a mixture over ranks: the numbers of one rank, checkpoints that any layout goes
// on from, and layouts that cannot be.
#include "ashlar/base/file.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/train/ranks.h"
#include "tests/base/messages.h"
#include "tests/train/small_decoders.h"
#include "tests/train/tiny_run.h"

#include <gtest/gtest.h>

#include <mutex>

namespace ashlar::train {
namespace {

using ashlar::testing::error_of;
using namespace testing;  // NOLINT: tiny runs

class ExpertTraining : public ::testing::Test {
 protected:
  TrainConfig mixture(const std::string& name, const MeshSizes& mesh = {}, int zero = 0) const {
    TrainConfig config = tiny_.config(name);
    config.model.family = "mixtral";
    config.model.experts = 4;
    config.model.kv_heads = 2;
    config.train.steps = 6;
    config.train.microbatch = 0;
    config.train.schedule = Schedule::kConstant;
    config.checkpoint.every = 3;
    config.valid.every = 3;
    config.run.tensorboard = false;
    config.mesh.data = mesh.data;
    config.mesh.tensor = mesh.tensor;
    config.mesh.expert = mesh.expert;
    config.mesh.context = mesh.context;
    config.parallel.zero = zero;
    return config;
  }

  // All ranks of a job, as threads; `steps` of it, going on where the folder has some.
  static void run_job(TrainConfig config, int64_t steps, bool resume = false) {
    config.train.steps = steps;
    config.run.resume = resume;
    const int ranks = Mesh::standard(config.mesh.sizes()).size();
    if (ranks == 1) {
      run(config);
      return;
    }
    comm::run_ranks(ranks, [&](comm::Communicator& comm) { train(config, quiet(), &comm); });
  }

  static void expect_same_log(const TrainConfig& found_in, const TrainConfig& wanted_in) {
    const auto found = read_metrics(join_path(found_in.run.dir, "metrics.jsonl"));
    const auto wanted = read_metrics(join_path(wanted_in.run.dir, "metrics.jsonl"));
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_NEAR(found[i].loss, wanted[i].loss, 1e-5 * wanted[i].loss) << i + 1;
      EXPECT_NEAR(found[i].aux_loss, wanted[i].aux_loss, 1e-5 * wanted[i].aux_loss) << i + 1;
      EXPECT_NEAR(found[i].grad_norm, wanted[i].grad_norm, 1e-4 * wanted[i].grad_norm) << i + 1;
      ASSERT_EQ(found[i].valid_loss.has_value(), wanted[i].valid_loss.has_value()) << i + 1;
      if (wanted[i].valid_loss) {
        EXPECT_NEAR(*found[i].valid_loss, *wanted[i].valid_loss, 1e-5 * *wanted[i].valid_loss);
      }
    }
  }

  TinyRun tiny_;
};

TEST_F(ExpertTraining, IsThatOfOneRankAndGoesOnInAnyLayout) {
  const TrainConfig straight = mixture("straight");
  run_job(straight, 6);
  const std::vector<std::pair<TrainConfig, TrainConfig>> changes = {
      {mixture("from-expert", {.expert = 4}), mixture("from-expert")},
      {mixture("to-expert"), mixture("to-expert", {.expert = 4})},
      {mixture("to-data", {.data = 2, .expert = 2}, 1), mixture("to-data", {.data = 4}, 3)},
      {mixture("to-both", {.tensor = 2, .expert = 2}),
       mixture("to-both", {.data = 2, .expert = 2})}};
  for (const auto& [first, second] : changes) {
    SCOPED_TRACE(first.run.dir);
    run_job(first, 3);
    run_job(second, 6, true);
    expect_same_log(second, straight);
  }
}

// Parameters in bf16 that have no masters: routers, which are f32 in either case, and experts lie
// as they do with them, and any layout goes on.
TEST_F(ExpertTraining, WithoutMastersIsNearOneRank) {
  const auto of = [&](const std::string& name, const MeshSizes& mesh, int zero) {
    TrainConfig config = mixture(name, mesh, zero);
    config.mesh.pipe = mesh.pipe;
    config.train.dtype = DType::kBF16;
    config.train.master = Master::kNone;
    config.train.grad_dtype = zero > 1 ? DType::kBF16 : DType::kF32;
    config.train.lr = 1e-2;  // so large that most steps are not rounded away
    if (mesh.pipe > 1) config.train.microbatch = 2;
    return config;
  };
  const auto log = [](const TrainConfig& config) {
    return read_metrics(join_path(config.run.dir, "metrics.jsonl"));
  };
  const TrainConfig straight = of("straight", {}, 0);
  run_job(straight, 6);
  const auto wanted = log(straight);
  EXPECT_LT(wanted.back().loss, wanted.front().loss);
  const std::vector<std::pair<TrainConfig, TrainConfig>> changes = {
      {of("expert", {.expert = 2}, 1), of("expert", {.tensor = 2}, 0)},
      {of("both", {.data = 2, .expert = 2}, 2), of("both", {}, 0)},
      {of("shards", {.data = 2, .expert = 2}, 3), of("shards", {.pipe = 2, .expert = 2}, 0)}};
  for (const auto& [first, second] : changes) {
    SCOPED_TRACE(first.run.dir);
    run_job(first, 3);
    run_job(second, 6, true);
    const auto found = log(second);
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_NEAR(found[i].loss, wanted[i].loss, 0.01 * wanted[i].loss) << i + 1;
      EXPECT_NEAR(found[i].aux_loss, wanted[i].aux_loss, 0.02 * wanted[i].aux_loss) << i + 1;
    }
  }
}

TEST_F(ExpertTraining, RefusesWhatCannotBe) {
  const auto error = [&](const TrainConfig& config, models::DecoderConfig model) {
    return error_of([&] { check_layout(config, model); });
  };
  TrainConfig config = mixture("run", {.expert = 3});
  models::DecoderConfig model = small_mixtral();
  model.mixture.experts = 8;
  EXPECT_EQ(error(config, model),
            "config mesh.expert: 3 ranks do not divide 8 experts; 1, 2, 4, 8 would");
  EXPECT_EQ(error(config, small_llama()),
            "config mesh.expert: the model has no experts to split over 3 ranks; use mesh.data");
  config = mixture("run", {.data = 2, .tensor = 2, .expert = 4, .context = 2}, 3);
  EXPECT_EQ(error(config, model), "(no error)");
  config.sample.every = 5;
  EXPECT_EQ(
      error(config, model),
      "config sample.every: samples need the whole model on the first rank, which "
      "mesh.tensor=2, mesh.pipe=1, mesh.expert=4 and parallel.zero=3 split; set sample.every=0");
}

}  // namespace
}  // namespace ashlar::train
