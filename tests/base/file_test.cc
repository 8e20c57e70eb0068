#include "ashlar/base/file.h"

#include "ashlar/base/atomic_file.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(FileTest, ReadsWhole) {
  const TempDir dir;
  const std::string binary("a\0b\n", 4);
  write_file(dir.path("x"), binary);
  write_file(dir.path("empty"), "");
  EXPECT_EQ(read_file(dir.path("x")), binary);
  EXPECT_EQ(read_file(dir.path("empty")), "");
  EXPECT_EQ(file_size(dir.path("x")), 4);
}

TEST(FileTest, ReadsFilesWhoseSizeSaysZero) {
  EXPECT_THAT(read_file("/proc/self/status"), HasSubstr("VmRSS"));
}

TEST(FileTest, NamesPathAndReason) {
  const TempDir dir;
  const std::string gone = dir.path("gone");
  EXPECT_EQ(error_of([&] { read_file(gone); }),
            "cannot open " + gone + ": No such file or directory");
  EXPECT_EQ(error_of([&] { read_file(dir.path()); }),
            "cannot read " + dir.path() + ": Is a directory");
  EXPECT_EQ(error_of([&] { file_size(gone); }),
            "cannot read " + gone + ": No such file or directory");
  EXPECT_THAT(error_of([&] { list_directory(gone); }), StartsWith("cannot list folder " + gone));
  EXPECT_THAT(error_of([&] { truncate_file(gone, 0); }), StartsWith("cannot cut " + gone));
  EXPECT_THAT(error_of([&] { sync_path(gone); }), StartsWith("cannot open " + gone));
}

TEST(FileTest, RefusesMoreThanAllowed) {
  const TempDir dir;
  write_file(dir.path("x"), "12345");
  EXPECT_EQ(read_file(dir.path("x"), 5), "12345");
  EXPECT_EQ(error_of([&] { read_file(dir.path("x"), 4); }),
            "cannot read " + dir.path("x") + ": 5 bytes, at most 4 are allowed");
  EXPECT_THAT(error_of([] { read_file("/proc/self/status", 10); }), HasSubstr("more than the 10"));
}

TEST(FileTest, Folders) {
  const TempDir dir;
  make_directories(dir.path("a/b/c"));
  make_directories(dir.path("a/b/c"));
  EXPECT_TRUE(is_directory(dir.path("a/b")));
  EXPECT_FALSE(is_file(dir.path("a/b")));
  write_file(dir.path("a/z"), "");
  write_file(dir.path("a/y"), "");
  EXPECT_TRUE(is_file(dir.path("a/z")));
  EXPECT_THAT(list_directory(dir.path("a")), ElementsAre("b", "y", "z"));
  EXPECT_THAT(error_of([&] { make_directories(dir.path("a/z/w")); }),
              StartsWith("cannot create folder " + dir.path("a/z/w")));
  EXPECT_EQ(error_of([&] { make_directories(dir.path("a/z")); }),
            "cannot create folder " + dir.path("a/z") + ": Not a directory");
  remove_tree(dir.path("a"));
  remove_tree(dir.path("a"));
  EXPECT_FALSE(is_directory(dir.path("a")));
}

TEST(FileTest, Cuts) {
  const TempDir dir;
  write_file(dir.path("x"), "line 1\nline 2\nli");
  truncate_file(dir.path("x"), 14);
  EXPECT_EQ(read_file(dir.path("x")), "line 1\nline 2\n");
}

TEST(FileTest, Names) {
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(join_path("", "b"), "b");
  EXPECT_EQ(parent_path("a/b/c"), "a/b");
  EXPECT_EQ(parent_path("a/b/"), "a");
  EXPECT_EQ(parent_path("a"), ".");
  EXPECT_EQ(parent_path("/a"), "/");
  EXPECT_EQ(file_name("a/b"), "b");
  EXPECT_EQ(file_name("a/b/"), "b");
}

}  // namespace
}  // namespace ashlar
