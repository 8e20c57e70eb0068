// Runs that die: at each crash point, by SIGKILL at random moments, with what was not synced gone.
// Each time they go on where a checkpoint stands, and in the end nothing tells them from a run that
// was never interrupted.
#include "ashlar/base/crash_point.h"
#include "ashlar/base/file.h"
#include "ashlar/base/philox.h"
#include "ashlar/train/checkpoint.h"
#include "tests/base/child.h"
#include "tests/train/power_loss.h"
#include "tests/train/short_run.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <set>

namespace ashlar::train {
namespace {

using ashlar::testing::ChildEnd;
using ashlar::testing::run_in_child;
using namespace testing;  // NOLINT: tiny runs

class CrashTest : public ShortRunTest {
 protected:
  // Every crash point that a run passes, as NAME#N.
  std::vector<std::string> points() const {
    const ChildEnd end = run_in_child([&] {
      ::setenv("ASHLAR_CRASH_LIST", tiny_.path("list").c_str(), 1);
      reload_crash_points();
      run(short_run("listed"));
    });
    EXPECT_EQ(end.exit_code, 0);
    std::vector<std::string> names;
    std::map<std::string, int> count;
    std::string rest = read_file(tiny_.path("list"));
    for (size_t at = 0; (at = rest.find('\n')) != std::string::npos; rest.erase(0, at + 1)) {
      const std::string name = rest.substr(0, at);
      names.push_back(fmt::format("{}#{}", name, ++count[name]));
    }
    return names;
  }

  void die_at_every_point(bool power_is_lost) {
    const auto names = points();
    const std::set<std::string> known(names.begin(), names.end());
    for (const char* point :
         {"checkpoint.model.weights.before_write#1", "checkpoint.optimizer.after_sync#2",
          "checkpoint.manifest.before_rename#2", "checkpoint.folder.after_rename#2",
          "checkpoint.latest.after_publish#1", "checkpoint.remove.after_rename#1"}) {
      EXPECT_TRUE(known.contains(point)) << point;
    }
    EXPECT_GT(names.size(), 100u);
    int lost = 0;
    for (const std::string& point : names) {
      const TrainConfig config = short_run("crash");
      remove_tree(config.run.dir);
      const ChildEnd end = run_in_child([&] {
        ::setenv("ASHLAR_CRASH_AT", point.c_str(), 1);
        reload_crash_points();
        if (power_is_lost) note_writes(config.run.dir, tiny_.path("journal"));
        run(config);
      });
      ASSERT_EQ(end.signal, SIGKILL) << point;
      if (power_is_lost && is_directory(config.run.dir)) {
        lost += lose_power(config.run.dir, tiny_.path("journal"));
      }
      resume(config);
      expect_whole(config, point);
      if (HasFailure()) return;
    }
    // Otherwise this proved nothing.
    if (power_is_lost) {
      EXPECT_GT(lost, static_cast<int>(names.size()) / 2);
    }
  }
};

TEST_F(CrashTest, ADeathAtAnyPoint) { die_at_every_point(false); }

TEST_F(CrashTest, APowerLossAtAnyPoint) { die_at_every_point(true); }

TEST_F(CrashTest, TenKillsAtRandomMoments) {
  TrainConfig config = tiny_.config("kills");
  config.train.steps = 300;
  config.checkpoint.every = 7;
  config.valid.every = 50;
  TrainConfig straight = config;
  straight.run.dir = tiny_.path("long");
  run(straight);
  config.run.resume = true;
  const RandomStream random(11, "kills");
  int killed = 0;
  for (uint64_t i = 0; killed < 10; ++i) {
    ASSERT_LT(i, 40u) << "runs end before they are killed";
    const pid_t child = ::fork();
    if (child == 0) {
      run(config);
      ::_exit(0);
    }
    ::usleep(static_cast<useconds_t>(5'000 + random.below(i, 45'000)));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    killed += WIFSIGNALED(status) ? 1 : 0;
    if (!WIFSIGNALED(status)) remove_tree(config.run.dir);  // it was done: once more
  }
  resume(config);
  EXPECT_EQ(learning_log(config.run.dir), learning_log(straight.run.dir));
  EXPECT_EQ(learnt_bytes(config.run.dir), learnt_bytes(straight.run.dir));
}

}  // namespace
}  // namespace ashlar::train
