#include "ashlar/base/file_writer.h"

#include "ashlar/base/file.h"
#include "tests/base/child.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/resource.h>

namespace ashlar {
namespace {

using ashlar::testing::ChildEnd;
using ashlar::testing::error_of;
using ashlar::testing::run_in_child;
using ashlar::testing::TempDir;

// Lengths on both sides of the writer's buffer (256 KiB) and chunk (1 MiB).
std::string text_of(size_t size) {
  std::string text(size, ' ');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 % 251);
  return text;
}

TEST(FileWriterTest, WritesWhatItWasGiven) {
  const TempDir dir;
  for (const size_t size : {0u, 1u, 262143u, 262144u, 1048577u, 3000001u}) {
    const std::string text = text_of(size);
    FileWriter writer(dir.path("x"));
    writer.write(std::string_view("head"));
    writer.write(text);
    writer.write(std::string_view("tail"));
    writer.close();
    ASSERT_EQ(read_file(dir.path("x")), "head" + text + "tail");
    ASSERT_EQ(writer.bytes(), static_cast<int64_t>(size) + 8);
    ASSERT_EQ(writer.checksum(), xxh64("head" + text + "tail"));
  }
}

TEST(FileWriterTest, ManySmallWrites) {
  const TempDir dir;
  FileWriter writer(dir.path("x"));
  std::string all;
  for (int i = 0; i < 100000; ++i) {
    const std::string line = std::to_string(i) + "\n";
    writer.write(line);
    all += line;
  }
  writer.sync();
  EXPECT_EQ(read_file(dir.path("x")), all);
  EXPECT_EQ(writer.checksum(), xxh64(all));
}

TEST(FileWriterTest, Appends) {
  const TempDir dir;
  FileWriter(dir.path("x")).write(std::string_view("one\n"));
  FileWriter writer(dir.path("x"), {.append = true});
  writer.write(std::string_view("two\n"));
  EXPECT_EQ(read_file(dir.path("x")), "one\n");
  writer.flush();
  EXPECT_EQ(read_file(dir.path("x")), "one\ntwo\n");
  EXPECT_EQ(writer.bytes(), 4);
}

TEST(FileWriterTest, AFullDiskIsNamed) {
  FileWriter writer("/dev/full");
  const std::string big = text_of(1 << 20);
  EXPECT_EQ(
      error_of([&] { writer.write(big); }),
      "cannot write /dev/full: No space left on device after 0 bytes; free some space and try "
      "again");
  FileWriter small("/dev/full");
  small.write(std::string_view("x"));  // buffered
  EXPECT_THROW(small.flush(), Error);
  EXPECT_NO_THROW(small.close());  // nothing is pending any more
}

// The system takes a part of the last chunk, then refuses: the message counts what it took.
TEST(FileWriterTest, AShortWriteIsCounted) {
  const TempDir dir;
  const ChildEnd end = run_in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1500000, 1500000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    FileWriter writer(dir.path("x"));
    const std::string message = error_of([&] { writer.write(text_of(3000000)); });
    ASHLAR_CHECK(
        message == "cannot write " + dir.path("x") + ": File too large after 1500000 bytes", "{}",
        message);
  });
  EXPECT_EQ(end.exit_code, 0);
  EXPECT_EQ(file_size(dir.path("x")), 1500000);
}

TEST(FileWriterTest, NamesWhatItCannotCreate) {
  const TempDir dir;
  EXPECT_EQ(error_of([&] { FileWriter writer(dir.path("no/x")); }),
            "cannot create " + dir.path("no/x") + ": No such file or directory");
  EXPECT_EQ(error_of([&] { FileWriter writer(dir.path()); }),
            "cannot create " + dir.path() + ": Is a directory");
}

}  // namespace
}  // namespace ashlar
