#include "ashlar/base/atomic_file.h"

#include "ashlar/base/crash_point.h"
#include "ashlar/base/file.h"
#include "ashlar/base/file_aside.h"
#include "tests/base/child.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

namespace ashlar {
namespace {

using ashlar::testing::ChildEnd;
using ashlar::testing::error_of;
using ashlar::testing::quick_folder;
using ashlar::testing::run_in_child;
using ashlar::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(AtomicFileTest, NothingShowsBeforeCommit) {
  const TempDir dir;
  write_file(dir.path("x"), "old");
  AtomicFile file(dir.path("x"));
  file.write(std::string_view("new"));
  EXPECT_EQ(read_file(dir.path("x")), "old");
  file.commit();
  EXPECT_EQ(read_file(dir.path("x")), "new");
  EXPECT_EQ(file.checksum(), xxh64("new"));
  EXPECT_THAT(list_directory(dir.path()), ElementsAre("x"));
}

TEST(AtomicFileTest, NotCommittedLeavesNothing) {
  const TempDir dir;
  { AtomicFile(dir.path("x")).write(std::string_view("new")); }
  EXPECT_THAT(list_directory(dir.path()), IsEmpty());
}

TEST(AtomicFileTest, LeftoversOfTheDeadGoThoseOfTheLivingStay) {
  const TempDir dir;
  const ChildEnd end = run_in_child([&] {
    AtomicFile file(dir.path("x"));
    AtomicDirectory folder(dir.path("y"));
    write_file(folder.path("z"), "half");
    ::kill(::getpid(), SIGKILL);
  });
  ASSERT_EQ(end.signal, SIGKILL);
  write_file(dir.path("first"), "");  // cleans
  EXPECT_THAT(list_directory(dir.path()), ElementsAre("first"));

  AtomicFile alive(dir.path("x"));
  alive.write(std::string_view("alive"));
  write_file(dir.path("second"), "");  // must not clean
  alive.commit();
  EXPECT_EQ(read_file(dir.path("x")), "alive");
}

TEST(AtomicFileTest, OnlyItsOwnKindOfNameIsALeftover) {
  EXPECT_TRUE(is_aside_name(".x.tmp-12-0"));
  EXPECT_TRUE(is_aside_name(file_name(aside_path("folder/step-3"))));
  for (const char* name : {"x.tmp-12-0", ".x.tmp-12", ".x.tmp-a-0", ".x.tmp-12-", ".tmp-12-0",
                           ".x.tmp-12-0-1", ".x.tmp--0", ".bashrc"}) {
    EXPECT_FALSE(is_aside_name(name)) << name;
  }
  EXPECT_EQ(published_path("/a/.step-3.tmp-12-0/.model.tmp-12-1"), "/a/step-3/model");
  EXPECT_EQ(published_path("a/.hidden/b"), "a/.hidden/b");
}

TEST(AtomicFileTest, TwoWritersOfOneNameLeaveOneWholeFile) {
  const TempDir dir;
  const auto write = [&](char letter) {
    for (int i = 0; i < 20; ++i) write_file(dir.path("x"), std::string(1000, letter));
  };
  std::thread other(write, 'a');
  write('b');
  other.join();
  const std::string content = read_file(dir.path("x"));
  EXPECT_EQ(content, std::string(1000, content[0]));
  EXPECT_THAT(list_directory(dir.path()), ElementsAre("x"));
}

TEST(AtomicFileTest, AFailedWriteLeavesThePreviousContent) {
  const TempDir dir;
  write_file(dir.path("x"), "old");
  const ChildEnd end = run_in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100000, 100000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const std::string text(200000, 'x');
    const std::string message = error_of([&] { write_file(dir.path("x"), text); });
    ASHLAR_CHECK(message == "cannot write " + dir.path("x") + ": File too large after 100000 bytes",
                 "{}", message);
  });
  EXPECT_EQ(end.exit_code, 0);
  EXPECT_EQ(read_file(dir.path("x")), "old");
  EXPECT_THAT(list_directory(dir.path()), ElementsAre("x"));
}

TEST(AtomicFileTest, AReadOnlyFolderIsNamed) {
  const TempDir dir;
  write_file(dir.path("x"), "old");
  ASSERT_EQ(::chmod(dir.path().c_str(), 0555), 0);
  const ChildEnd end = run_in_child([&] {
    if (::geteuid() == 0) ASHLAR_CHECK(::seteuid(65534) == 0, "cannot drop root's rights");
    EXPECT_EQ(error_of([&] { write_file(dir.path("x"), "new"); }),
              "cannot create " + dir.path("x") + ": Permission denied");
    EXPECT_EQ(error_of([&] { AtomicDirectory folder(dir.path("d")); }),
              "cannot create folder " + dir.path("d") + ": Permission denied");
    ASHLAR_CHECK(!::testing::Test::HasFailure(), "see above");
  });
  EXPECT_EQ(end.exit_code, 0);
  ::chmod(dir.path().c_str(), 0755);
  EXPECT_EQ(read_file(dir.path("x")), "old");
}

TEST(AtomicFileTest, NamesAMissingFolderAndATargetThatIsAFolder) {
  const TempDir dir;
  EXPECT_EQ(error_of([&] { write_file(dir.path("no/x"), ""); }),
            "cannot write " + dir.path("no/x") + ": there is no folder " + dir.path("no"));
  make_directories(dir.path("d"));
  EXPECT_EQ(error_of([&] { write_file(dir.path("d"), ""); }),
            "cannot create " + dir.path("d") + ": Is a directory");
  EXPECT_THAT(list_directory(dir.path()), ElementsAre("d"));
}

// Through links, so that a fault here would not replace the machine's own.
TEST(AtomicFileTest, DevicesAreWrittenToAndNeverReplaced) {
  const TempDir dir;
  const auto link = [&](const char* target, const char* name) {
    ASSERT_EQ(::symlink(target, dir.path(name).c_str()), 0);
  };
  link("/dev/null", "null");
  link("/dev/full", "full");
  link("/proc/self/fd/1", "stdout");
  write_file(dir.path("null"), "text");
  EXPECT_THAT(error_of([&] { write_file(dir.path("full"), "text"); }),
              HasSubstr("No space left on device"));
  for (const char* name : {"null", "full", "stdout"}) {
    EXPECT_THAT(error_of([&] { AtomicFile(dir.path(name)).commit(); }),
                HasSubstr("a device or pipe; wanted the name of a file"));
    struct stat info {};
    ASSERT_EQ(::lstat(dir.path(name).c_str(), &info), 0);
    EXPECT_TRUE(S_ISLNK(info.st_mode)) << name;
  }
  EXPECT_EQ(list_directory(dir.path()).size(), 3u) << "something was left aside";
}

TEST(AtomicDirectoryTest, PublishesAndReplaces) {
  const TempDir dir;
  for (const char* content : {"one", "two"}) {
    AtomicDirectory folder(dir.path("d"));
    make_directories(folder.path("sub"));
    write_file(folder.path("sub/x"), content);
    write_file(folder.path(content), "");
    folder.commit();
    EXPECT_EQ(read_file(dir.path("d/sub/x")), content);
  }
  EXPECT_THAT(list_directory(dir.path("d")), ElementsAre("sub", "two"));
  EXPECT_THAT(list_directory(dir.path()), ElementsAre("d"));
}

TEST(AtomicDirectoryTest, ErrorsInsideNameThePublishedPath) {
  const TempDir dir;
  AtomicDirectory folder(dir.path("d"));
  EXPECT_EQ(error_of([&] { FileWriter writer(folder.path("no/x")); }),
            "cannot create " + dir.path("d/no/x") + ": No such file or directory");
}

// Every crash point of replacing a file and a folder, one after the other: what is there
// afterwards is whole, either old or new, and the next writer cleans up.
class CrashTest : public ::testing::Test {
 protected:
  static void save(const TempDir& dir, const std::string& content) {
    write_file(dir.path("x"), content, "save.file");
    AtomicDirectory folder(dir.path("d"), "save.folder");
    write_file(folder.path("a"), content, "save.a");
    write_file(folder.path("b"), content, "save.b");
    folder.commit();
  }
  static ChildEnd save_in_child(const TempDir& dir, const char* variable,
                                const std::string& value) {
    return run_in_child([&] {
      ::setenv(variable, value.c_str(), 1);
      reload_crash_points();
      save(dir, "new");
    });
  }
  static std::vector<std::string> points(const TempDir& dir) {
    const TempDir lists;
    EXPECT_EQ(save_in_child(dir, "ASHLAR_CRASH_LIST", lists.path("list")).exit_code, 0);
    std::vector<std::string> names;
    std::string rest = read_file(lists.path("list"));
    for (size_t end = 0; (end = rest.find('\n')) != std::string::npos; rest.erase(0, end + 1)) {
      names.push_back(rest.substr(0, end));
    }
    return names;
  }
};

TEST_F(CrashTest, ListsThePointsInOrder) {
  const TempDir dir(quick_folder());
  const auto names = points(dir);
  const std::vector<std::string> file = {"before_write", "after_write",   "before_sync",
                                         "after_sync",   "before_rename", "after_rename",
                                         "after_publish"};
  ASSERT_GE(names.size(), file.size());
  for (size_t i = 0; i < file.size(); ++i) EXPECT_EQ(names[i], "save.file." + file[i]);
  EXPECT_THAT(names, ::testing::Contains("save.folder.before_sync").Times(2));
  EXPECT_EQ(names.back(), "save.folder.after_publish");
}

TEST_F(CrashTest, ADeathAtAnyPointLeavesOldOrNew) {
  const TempDir dir(quick_folder());
  save(dir, "old");
  const size_t count = points(dir).size();
  ASSERT_GE(count, 25u);
  for (size_t point = 1; point <= count; ++point) {
    save(dir, "old");
    ASSERT_EQ(save_in_child(dir, "ASHLAR_CRASH_AT", std::to_string(point)).signal, SIGKILL);
    const std::string a = read_file(dir.path("d/a"));
    ASSERT_TRUE(a == "old" || a == "new");
    ASSERT_EQ(read_file(dir.path("d/b")), a) << "point " << point;
    ASSERT_THAT(read_file(dir.path("x")), ::testing::AnyOf("old", "new"));
    save(dir, "last");
    ASSERT_EQ(read_file(dir.path("x")) + read_file(dir.path("d/a")), "lastlast");
    ASSERT_THAT(list_directory(dir.path()), ElementsAre("d", "x"));
  }
}

TEST_F(CrashTest, APointCanBeNamedAndCounted) {
  const TempDir dir(quick_folder());
  EXPECT_EQ(save_in_child(dir, "ASHLAR_CRASH_AT", "save.b.after_rename").signal, SIGKILL);
  EXPECT_EQ(save_in_child(dir, "ASHLAR_CRASH_AT", "save.folder.after_sync#2").signal, SIGKILL);
  EXPECT_EQ(save_in_child(dir, "ASHLAR_CRASH_AT", "save.folder.after_sync#3").exit_code, 0);
  EXPECT_EQ(save_in_child(dir, "ASHLAR_CRASH_AT", "nowhere").exit_code, 0);
  for (const char* wrong : {"0", "x#", "x#0", "x#y", "99999999999999999999"}) {
    ::setenv("ASHLAR_CRASH_AT", wrong, 1);
    EXPECT_THAT(error_of([] { reload_crash_points(); }), HasSubstr("is not N, NAME or NAME#N"));
    ::unsetenv("ASHLAR_CRASH_AT");
    reload_crash_points();
  }
}

}  // namespace
}  // namespace ashlar
