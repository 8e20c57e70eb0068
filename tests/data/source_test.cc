#include "ashlar/data/source.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace ashlar::data {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

std::vector<std::string> names(const std::vector<SourceFile>& files, const std::string& root) {
  std::vector<std::string> result;
  for (const SourceFile& file : files) result.push_back(file.path.substr(root.size() + 1));
  return result;
}

class SourceTest : public ::testing::Test {
 protected:
  void put(const std::string& name, const std::string& text = "x\n") {
    make_directories(parent_path(dir_.path(name)));
    write_file(dir_.path(name), text);
  }
  std::vector<std::string> list(const SourceOptions& options = {}) {
    return names(list_files({dir_.path()}, options), dir_.path());
  }
  TempDir dir_{ashlar::testing::quick_folder()};
};

TEST_F(SourceTest, ParsesPathAndWeight) {
  put("odd:2");
  const Source plain = Source::parse("a/b.txt");
  EXPECT_EQ(plain.path, "a/b.txt");
  EXPECT_EQ(plain.weight, 0);
  const Source weighted = Source::parse("a/b.txt:0.25");
  EXPECT_EQ(weighted.path, "a/b.txt");
  EXPECT_EQ(weighted.weight, 0.25);
  // A file of that very name wins over a weight; and what is no number is part of the path.
  EXPECT_EQ(Source::parse(dir_.path("odd:2")).weight, 0);
  EXPECT_EQ(Source::parse(dir_.path("odd:2") + ":3").path, dir_.path("odd:2"));
  EXPECT_EQ(Source::parse("C:x.txt").path, "C:x.txt");
  EXPECT_EQ(error_of([] { Source::parse("a:0"); }), "data a:0: the weight 0 is not positive");
  EXPECT_EQ(error_of([] { Source::parse("a:-2"); }), "data a:-2: the weight -2 is not positive");
  EXPECT_EQ(error_of([] { Source::parse(""); }), "data: an empty path");
}

TEST_F(SourceTest, ListsFoldersInBytewiseOrder) {
  for (const char* name : {"b.txt", "a/z.md", "a.txt", "a/B.txt", "A.txt", "x.c", "sub/.hidden.txt",
                           ".git/b.txt", "sub/t.JSONL"}) {
    put(name);
  }
  put("empty.txt", "");
  EXPECT_THAT(list(), ElementsAre("A.txt", "a.txt", "a/B.txt", "a/z.md", "b.txt", "sub/t.JSONL"));
  EXPECT_EQ(list_files({dir_.path("sub")}, {}).front().kind, FileKind::kJsonLines);
}

TEST_F(SourceTest, FollowsLinksToFilesButNotToFolders) {
  put("real/a.txt");
  put("other.dat");
  std::filesystem::create_symlink("..", dir_.path("real/loop"));
  std::filesystem::create_symlink(dir_.path("real/a.txt"), dir_.path("link.txt"));
  std::filesystem::create_symlink("nowhere", dir_.path("dangling.txt"));
  EXPECT_THAT(list(), ElementsAre("link.txt", "real/a.txt"));
  EXPECT_THAT(list({.follow_links = false}), ElementsAre("real/a.txt"));
}

TEST_F(SourceTest, CutsAtTheLimit) {
  put("a.txt", std::string(10, 'a'));
  put("b.txt", std::string(10, 'b'));
  put("c.txt", std::string(10, 'c'));
  const auto files = list_files({dir_.path()}, {.max_bytes = 14});
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].bytes, 10);
  EXPECT_EQ(files[1].bytes, 4);
  EXPECT_EQ(list_files({dir_.path()}, {.max_bytes = 20}).size(), 2u);
}

TEST_F(SourceTest, RefusesWhatItCannotRead) {
  put("a.c");
  put("b.c");
  put("c.cc");
  const std::string root = dir_.path();
  const auto error = [](const std::string& path) {
    return error_of([&] { list_files(Source::parse(path), {}); });
  };
  EXPECT_EQ(error(root), "data " + root +
                             ": the folder has no .txt, .md, .jsonl, .ndjson files; set "
                             "data.extensions to what it has: .c (2) .cc (1)");
  EXPECT_EQ(error(root + "/none.txt"), "data " + root + "/none.txt: no such file or folder");
  EXPECT_THAT(error(root + "/a.c:much"),
              EndsWith("if \"much\" is its weight, it must be a positive number"));
  EXPECT_EQ(error("/dev/null"), "data /dev/null: neither a file nor a folder");
  put("empty.txt", "");
  EXPECT_THAT(error(dir_.path("empty.txt")), EndsWith(": the file is empty"));
  EXPECT_THAT(error(root), EndsWith(": the file is empty"));
  for (const char* name : {"d.json", "d.parquet", "d.txt.gz", "d.tar"}) {
    put(name);
    EXPECT_THAT(error(dir_.path(name)), HasSubstr("read; ")) << name;
  }
}

TEST_F(SourceTest, SystemHeadersAreFixedAndWithinTheLimit) {
  if (!is_directory(kSystemHeaders)) GTEST_SKIP() << "no /usr/include on this machine";
  constexpr int64_t kLimit = 300000;
  const auto files = list_files({kSystemHeaders}, header_options(kLimit));
  int64_t total = 0;
  std::string last;
  for (const SourceFile& file : files) {
    total += file.bytes;
    EXPECT_LT(last, file.path);
    EXPECT_FALSE(std::filesystem::is_symlink(file.path)) << file.path;
    last = file.path;
  }
  EXPECT_LE(total, kLimit);
  EXPECT_GT(total, kLimit / 2);
}

}  // namespace
}  // namespace ashlar::data
