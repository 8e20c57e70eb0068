#include "ashlar/base/mapped_file.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"

#include <gtest/gtest.h>

#include <utility>

namespace ashlar {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::TempDir;

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(MappedFileTest, ShowsTheContent) {
  const TempDir dir;
  const std::string content(20000, 'x');
  write_file(dir.path("x"), content);
  const MappedFile file(dir.path("x"));
  EXPECT_EQ(text_of(file), content);
  EXPECT_EQ(file.path(), dir.path("x"));
}

TEST(MappedFileTest, AnEmptyFileIsAnEmptySpan) {
  const TempDir dir;
  write_file(dir.path("x"), "");
  const MappedFile file(dir.path("x"));
  EXPECT_TRUE(file.bytes().empty());
  file.will_need(0, 0);
  file.release(0, 0);
}

TEST(MappedFileTest, ContentSurvivesAdviceOnAnyRange) {
  const TempDir dir;
  std::string content(3 * 4096 + 100, ' ');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>('a' + i % 23);
  write_file(dir.path("x"), content);
  const MappedFile file(dir.path("x"));
  for (const size_t offset : {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, size_t{8000}}) {
    for (const size_t size : {size_t{1}, size_t{4096}, content.size() - offset}) {
      file.will_need(offset, size);
      file.release(offset, size);
      ASSERT_EQ(text_of(file), content);
    }
  }
}

TEST(MappedFileTest, Moves) {
  const TempDir dir;
  write_file(dir.path("x"), "one");
  write_file(dir.path("y"), "two");
  MappedFile first(dir.path("x"));
  MappedFile moved(std::move(first));
  EXPECT_EQ(text_of(moved), "one");
  moved = MappedFile(dir.path("y"));
  EXPECT_EQ(text_of(moved), "two");
  EXPECT_EQ(moved.path(), dir.path("y"));
  EXPECT_TRUE(MappedFile().bytes().empty());
}

TEST(MappedFileTest, TheMappingOutlivesTheName) {
  const TempDir dir;
  write_file(dir.path("x"), "old");
  const MappedFile file(dir.path("x"));
  write_file(dir.path("x"), "new");  // another file under that name
  EXPECT_EQ(text_of(file), "old");
  remove_tree(dir.path("x"));
  EXPECT_EQ(text_of(file), "old");
}

TEST(MappedFileTest, NamesWhatItCannotMap) {
  const TempDir dir;
  EXPECT_EQ(error_of([&] { MappedFile file(dir.path("gone")); }),
            "cannot open " + dir.path("gone") + ": No such file or directory");
  EXPECT_EQ(error_of([&] { MappedFile file(dir.path()); }),
            "cannot read " + dir.path() + ": not a regular file");
}

}  // namespace
}  // namespace ashlar
