#include "ashlar/cli/free_memory.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "tests/base/temp_dir.h"

#include <gtest/gtest.h>

namespace ashlar::cli {
namespace {

class FreeMemoryTest : public ::testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) {
    make_directories(parent_path(folder_.path(path)));
    write_file(folder_.path(path), text);
  }
  int64_t found() const { return free_memory(folder_.path(".")); }

  testing::TempDir folder_;
};

TEST_F(FreeMemoryTest, IsWhatTheSystemHasFree) {
  EXPECT_EQ(found(), 0) << "the system does not say";
  put("proc/meminfo", "MemTotal:  1000 kB\nMemFree:  1 kB\nMemAvailable:   700 kB\n");
  EXPECT_EQ(found(), 700 * 1024);
  put("sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(found(), 700 * 1024);
}

TEST_F(FreeMemoryTest, IsLessWhereAContainerHasALimit) {
  put("proc/meminfo", "MemAvailable:   700 kB\n");
  put("sys/fs/cgroup/memory.max", "300000\n");
  EXPECT_EQ(found(), 300000);
  put("sys/fs/cgroup/memory.current", "200000\n");
  EXPECT_EQ(found(), 100000);
  put("sys/fs/cgroup/memory.stat", "anon 120000\ninactive_file 50000\n");
  EXPECT_EQ(found(), 150000) << "the page cache gives way";
}

TEST_F(FreeMemoryTest, AGroupWithinOthersHasTheTightestLimit) {
  put("proc/meminfo", "MemAvailable:   700 kB\n");
  put("proc/self/cgroup", "0::/jobs/mine\n");
  put("sys/fs/cgroup/jobs/mine/memory.max", "400000\n");
  put("sys/fs/cgroup/jobs/memory.max", "500000\n");
  EXPECT_EQ(found(), 400000);
  put("sys/fs/cgroup/jobs/memory.current", "499000\n");
  EXPECT_EQ(found(), 1000);
}

TEST_F(FreeMemoryTest, KnowsTheFirstVersionOfControlGroups) {
  put("proc/meminfo", "MemAvailable:   700 kB\n");
  put("proc/self/cgroup", "5:cpu:/c\n4:memory:/box\n");
  put("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "90000\n");
  put("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "50000\n");
  put("sys/fs/cgroup/memory/box/memory.stat", "total_inactive_file 10000\n");
  EXPECT_EQ(found(), 50000);
}

TEST_F(FreeMemoryTest, OfThisMachine) { EXPECT_GT(free_memory(), 1 << 20); }

}  // namespace
}  // namespace ashlar::cli
