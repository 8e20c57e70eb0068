// Disks that are full, files and folders that may not be written: a clear error, the checkpoint
// before stays whole, and the run goes on once there is room again.
#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "tests/base/child.h"
#include "tests/base/messages.h"
#include "tests/train/full_disk.h"
#include "tests/train/short_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <functional>

namespace ashlar::train {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::run_in_child;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace testing;  // NOLINT: tiny runs

class DiskErrorsTest : public ShortRunTest {
 protected:
  // The error that a run meets when `happens` is called after step 3, step 2's checkpoint written.
  std::string error_after(const TrainConfig& config, const std::function<void()>& happens) {
    const std::string file = tiny_.path("error");
    const auto end = run_in_child([&] {
      TrainHooks hooks = quiet();
      hooks.on_step = [&](const StepMetrics& metrics) {
        if (metrics.step != 3) return;
        while (!is_file(join_path(config.run.dir, "latest"))) ::usleep(1000);
        happens();
      };
      write_file(file, error_of([&] { train(config, hooks); }));
    });
    EXPECT_EQ(end.exit_code, 0);
    return read_file(file);
  }

  void expect_second_whole(const TrainConfig& config, const std::string& what) {
    EXPECT_EQ(find_checkpoint(config.run.dir), 2) << what;
    EXPECT_EQ(read_file(join_path(config.run.dir, "latest")), "checkpoints/step-2\n") << what;
    resume(config);
    expect_whole(config, what);
  }
};

// Room for ever more: the logs, then each file of a checkpoint in turn does not fit.
TEST_F(DiskErrorsTest, AFullDisk) {
  constexpr int64_t kStep = 10'000;
  int errors = 0;
  std::string last;
  for (int64_t room = 0; room < 100 * kStep; room += kStep) {
    const TrainConfig config = short_run("full");
    remove_tree(config.run.dir);
    last = error_after(config, [&] { fill_disk(config.run.dir, room); });
    if (last == "(no error)") break;
    ++errors;
    EXPECT_THAT(last,
                AllOf(StartsWith("cannot write " + config.run.dir + "/"),
                      HasSubstr(": No space left on device after "), HasSubstr("free some space")));
    EXPECT_THAT(last, HasSubstr(room == 0       ? "/metrics.jsonl: "
                                : room == kStep ? "/checkpoints/step-4/model.safetensors: "
                                                : "/checkpoints/step-4/"));
    expect_second_whole(config, last);
    if (HasFailure()) return;
  }
  EXPECT_EQ(last, "(no error)");  // there was room at last
  EXPECT_GT(errors, 20);
}

TEST_F(DiskErrorsTest, AFileThatMayNotGrow) {
  const TrainConfig config = short_run("limited");
  const std::string error = error_after(config, [] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{20'000, 20'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  });
  EXPECT_THAT(error, StartsWith("cannot write " + config.run.dir +
                                "/checkpoints/step-4/model.safetensors: File too large"));
  expect_second_whole(config, error);
}

// What keeps root from being stopped by a mode; for this thread and those it starts.
void lose_rights() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  ::syscall(SYS_capget, &header, data);
  data[0].effective &= ~((1u << CAP_DAC_OVERRIDE) | (1u << CAP_DAC_READ_SEARCH));
  ASHLAR_CHECK(::syscall(SYS_capset, &header, data) == 0, "cannot give up capabilities");
}

TEST_F(DiskErrorsTest, AFolderThatMayNotBeWritten) {
  const TrainConfig config = short_run("closed");
  const std::string folder = checkpoints_folder(config.run.dir);
  const auto end = run_in_child([&] {
    lose_rights();
    TrainHooks hooks = quiet();
    hooks.on_step = [&](const StepMetrics& metrics) {
      if (metrics.step != 3) return;
      while (!is_file(join_path(config.run.dir, "latest"))) ::usleep(1000);
      ::chmod(folder.c_str(), 0555);
    };
    const std::string error = error_of([&] { train(config, hooks); });
    ::chmod(folder.c_str(), 0755);
    write_file(tiny_.path("error"), error);
  });
  ASSERT_EQ(end.exit_code, 0);
  const std::string error = read_file(tiny_.path("error"));
  EXPECT_EQ(error, "cannot create folder " + folder + "/step-4: Permission denied");
  expect_second_whole(config, error);
}

TEST_F(DiskErrorsTest, ARunFolderThatMayNotBeMade) {
  TrainConfig config = short_run("inside/run");
  make_directories(tiny_.path("inside"));
  const auto end = run_in_child([&] {
    lose_rights();
    ::chmod(tiny_.path("inside").c_str(), 0555);
    write_file(tiny_.path("error"), error_of([&] { run(config); }));
  });
  ASSERT_EQ(end.exit_code, 0);
  EXPECT_THAT(read_file(tiny_.path("error")),
              AllOf(StartsWith("cannot create"), HasSubstr(config.run.dir),
                    HasSubstr("Permission denied")));
}

}  // namespace
}  // namespace ashlar::train
