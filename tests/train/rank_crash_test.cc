// Jobs of two ranks of which one dies while they save, at each point in turn: the other goes on as
// far as it can, no checkpoint is ever torn, and in the end nothing tells the run from one that was
// never disturbed.
#include "ashlar/base/crash_point.h"
#include "ashlar/base/file.h"
#include "ashlar/base/log.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/formats/manifest.h"
#include "ashlar/train/checkpoint.h"
#include "tests/comm/process_ranks.h"
#include "tests/train/tiny_run.h"

#include <gtest/gtest.h>

#include <csignal>
#include <map>

namespace ashlar::train {
namespace {

using comm::testing::run_process_ranks;
using namespace testing;  // NOLINT: tiny runs

class RankCrashTest : public ::testing::Test {
 protected:
  RankCrashTest() { spdlog::set_level(spdlog::level::off); }
  ~RankCrashTest() override { spdlog::set_level(spdlog::level::info); }

  // Two saves; the second removes the first. Parameters and moments are split.
  TrainConfig two_ranks(const std::string& name) const {
    TrainConfig config = tiny_.config(name);
    config.train.steps = 4;
    config.train.microbatch = 0;
    config.checkpoint.every = 2;
    config.checkpoint.keep = 1;
    config.valid.every = 0;
    config.run.tensorboard = false;
    config.mesh.data = 2;
    config.parallel.zero = 3;
    return config;
  }

  static void run_threads(TrainConfig config, bool resume) {
    config.run.resume = resume;
    comm::run_ranks(2, [&](comm::Communicator& comm) { train(config, quiet(), &comm); });
  }

  // The crash points that each rank passes while it saves, as NAME#N.
  std::vector<std::vector<std::string>> points() const {
    const auto list = [&](int rank) { return tiny_.path(fmt::format("list-{}", rank)); };
    const auto ends = run_process_ranks(2, [&](comm::Communicator& comm) {
      ::setenv("ASHLAR_CRASH_LIST", list(comm.rank()).c_str(), 1);
      reload_crash_points();
      train(two_ranks("listed"), quiet(), &comm);
    });
    std::vector<std::vector<std::string>> result;
    for (int rank = 0; rank < 2; ++rank) {
      EXPECT_EQ(ends[static_cast<size_t>(rank)].exit_code, 0);
      std::vector<std::string>& names = result.emplace_back();
      std::map<std::string, int> count;
      std::string rest = read_file(list(rank));
      for (size_t at = 0; (at = rest.find('\n')) != std::string::npos; rest.erase(0, at + 1)) {
        const std::string name = rest.substr(0, at);
        const int n = ++count[name];
        if (name.starts_with("checkpoint.")) names.push_back(fmt::format("{}#{}", name, n));
      }
    }
    return result;
  }

  // Sizes and checksums of the newest checkpoint's files, but for the one that says where it lies.
  static std::vector<formats::FileRecord> content(const std::string& run_dir) {
    const std::string folder = checkpoint_folder(run_dir, list_checkpoints(run_dir).back());
    auto files = formats::Manifest::read(folder).files();
    std::erase_if(files, [](const auto& file) { return file.name == kTrainerState; });
    return files;
  }

  static void expect_nothing_torn(const std::string& run_dir) {
    for (const int64_t step : list_checkpoints(run_dir)) {
      const std::string folder = checkpoint_folder(run_dir, step);
      EXPECT_NO_THROW(formats::Manifest::read(folder).verify(folder)) << folder;
    }
  }

  TinyRun tiny_;
};

TEST_F(RankCrashTest, ADeathOfEitherRankAtAnyPoint) {
  run_threads(two_ranks("straight"), false);
  const auto wanted = content(tiny_.path("straight"));
  const auto wanted_log = learning_log(tiny_.path("straight"));
  EXPECT_GT(wanted.size(), 6u);  // two ranks' files, an index each
  const auto points_of = points();
  EXPECT_GT(points_of[0].size(), 100u);
  EXPECT_GT(points_of[1].size(), 30u);
  for (int victim = 0; victim < 2; ++victim) {
    for (const std::string& point : points_of[static_cast<size_t>(victim)]) {
      const TrainConfig config = two_ranks("crash");
      remove_tree(config.run.dir);
      const auto ends = run_process_ranks(2, [&](comm::Communicator& comm) {
        if (comm.rank() == victim) ::setenv("ASHLAR_CRASH_AT", point.c_str(), 1);
        reload_crash_points();
        train(config, quiet(), &comm);
      });
      ASSERT_EQ(ends[static_cast<size_t>(victim)].signal, SIGKILL) << victim << " at " << point;
      expect_nothing_torn(config.run.dir);
      run_threads(config, true);
      EXPECT_EQ(learning_log(config.run.dir), wanted_log) << victim << " at " << point;
      EXPECT_EQ(content(config.run.dir), wanted) << victim << " at " << point;
      EXPECT_EQ(list_directory(checkpoints_folder(config.run.dir)),
                std::vector<std::string>{"step-4"})
          << victim << " at " << point;
      if (HasFailure()) return;
    }
  }
}

// What two ranks left, one goes on with, and the other way round.
TEST_F(RankCrashTest, GoesOnInAnotherLayout) {
  TrainConfig one = two_ranks("one");
  one.mesh.data = 1;
  one.parallel.zero = 0;
  for (const bool widen : {false, true}) {
    TrainConfig first = widen ? one : two_ranks("run"), second = widen ? two_ranks("run") : one;
    first.run.dir = second.run.dir = tiny_.path(widen ? "widened" : "narrowed");
    first.train.schedule = second.train.schedule = Schedule::kConstant;
    TrainConfig half = first;
    half.train.steps = 2;
    const auto start = [](const TrainConfig& config, bool resume) {
      if (config.mesh.data > 1) {
        run_threads(config, resume);
      } else {
        TrainConfig own = config;
        own.run.resume = resume;
        run(own);
      }
    };
    start(half, false);
    start(second, true);
    TrainConfig straight = one;
    straight.train.schedule = Schedule::kConstant;
    straight.run.dir = tiny_.path(widen ? "straight-w" : "straight-n");
    run(straight);
    const auto found = read_metrics(join_path(second.run.dir, "metrics.jsonl"));
    const auto wanted = read_metrics(join_path(straight.run.dir, "metrics.jsonl"));
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_NEAR(found[i].loss, wanted[i].loss, 1e-5 * wanted[i].loss) << i + 1;
    }
  }
}

}  // namespace
}  // namespace ashlar::train
