#include "ashlar/data/document_reader.h"

#include "ashlar/base/atomic_file.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::data {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::TempDir;
using ::testing::ElementsAre;

struct Read {
  std::vector<std::string> documents;
  std::vector<std::string> places;  // where each piece starts
  std::vector<size_t> piece_bytes;
  int64_t bytes_done = 0, bytes = 0;
};

Read read_all(const std::vector<SourceFile>& files, DocumentChoice choice = {}) {
  Read read;
  DocumentReader reader(files, choice);
  bool inside = false;
  for (;;) {
    const std::vector<Piece>& pieces = reader.next();
    if (pieces.empty()) break;
    for (const Piece& piece : pieces) {
      EXPECT_EQ(piece.begins, !inside);
      if (piece.begins) read.documents.emplace_back();
      read.documents.back() += piece.text;
      read.places.push_back(piece.where());
      read.piece_bytes.push_back(piece.text.size());
      inside = !piece.ends;
    }
  }
  EXPECT_FALSE(inside);
  read.bytes_done = reader.bytes_done();
  read.bytes = reader.bytes();
  return read;
}

class DocumentReaderTest : public ::testing::Test {
 protected:
  std::vector<SourceFile> file(const std::string& name, const std::string& text) {
    write_file(dir_.path(name), text);
    return list_files({dir_.path(name)}, {});
  }
  TempDir dir_{ashlar::testing::quick_folder()};
};

TEST_F(DocumentReaderTest, ATextFileIsOneDocument) {
  const Read read = read_all(file("a.txt", "\xEF\xBB\xBFone\n\ntwo"));
  EXPECT_THAT(read.documents, ElementsAre("one\n\ntwo"));  // without the byte order mark
  EXPECT_THAT(read.places, ElementsAre(dir_.path("a.txt:1")));
}

TEST_F(DocumentReaderTest, ALineOfJsonIsOneDocument) {
  const Read read = read_all(file("a.jsonl", "{1}\n\n  \r\n{2}\r\n{3}"));
  EXPECT_THAT(read.documents, ElementsAre("{1}", "{2}\r", "{3}"));
  EXPECT_THAT(read.places,
              ElementsAre(dir_.path("a.jsonl:1"), dir_.path("a.jsonl:4"), dir_.path("a.jsonl:5")));
  EXPECT_EQ(read.bytes_done, read.bytes);
}

// The pieces of a long document join to the whole, and are cut before a character that is no space
// behind a line break.
TEST_F(DocumentReaderTest, CutsLongDocumentsBetweenLines) {
  std::string text;
  for (int i = 0; text.size() < (5u << 20); ++i) text += fmt::format("line {}\n  indented\n\n", i);
  const Read read = read_all(file("a.txt", text));
  ASSERT_EQ(read.documents.size(), 1u);
  EXPECT_EQ(read.documents[0], text);
  ASSERT_GE(read.piece_bytes.size(), 5u);
  size_t at = 0;
  for (size_t i = 0; i + 1 < read.piece_bytes.size(); ++i) {
    at += read.piece_bytes[i];
    EXPECT_EQ(text[at - 1], '\n');
    EXPECT_EQ(text[at], 'l');
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<long>(at), '\n');
    EXPECT_EQ(read.places[i + 1], fmt::format("{}:{}", dir_.path("a.txt"), line));
  }
}

TEST_F(DocumentReaderTest, CutsAnEndlessLineBetweenCharacters) {
  std::string text = "x";  // so that no character starts at a power of two
  while (text.size() < (9u << 20)) text += "\xE2\x82\xAC";
  const Read read = read_all(file("a.txt", text));
  EXPECT_EQ(read.documents.at(0), text);
  size_t at = 0;
  for (const size_t bytes : read.piece_bytes) {
    EXPECT_LE(bytes, 4u << 20);
    EXPECT_TRUE(at == 0 || text[at] == '\xE2');
    at += bytes;
  }
}

TEST_F(DocumentReaderTest, ReadsManyFilesInTheirOrder) {
  std::string expected;
  for (int i = 0; i < 300; ++i) {
    FileWriter(dir_.path(fmt::format("{:05}.txt", i))).write(fmt::format("{} ", i));
    expected += fmt::format("{} ", i);
  }
  const Read read = read_all(list_files({dir_.path()}, {}));
  EXPECT_EQ(read.documents.size(), 300u);
  std::string all;
  for (const std::string& document : read.documents) all += document;
  EXPECT_EQ(all, expected);
}

TEST_F(DocumentReaderTest, ALimitedFileEndsAfterALine) {
  write_file(dir_.path("a.jsonl"), "{1}\n{2}\n{3}\n");
  const auto files = list_files({dir_.path("a.jsonl")}, {.max_bytes = 10});
  EXPECT_THAT(read_all(files).documents, ElementsAre("{1}", "{2}"));
}

TEST_F(DocumentReaderTest, HeldOutDocumentsAreSpreadEvenlyAndReadOnce) {
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += fmt::format("{{{}}}\n\n", i);
  const auto files = file("a.jsonl", lines);
  for (const double share : {0.1, 0.013, 0.5}) {
    const Read rest = read_all(files, {share, false});
    const Read held = read_all(files, {share, true});
    EXPECT_EQ(rest.documents.size() + held.documents.size(), 1000u);
    EXPECT_NEAR(static_cast<double>(held.documents.size()), share * 1000, 1);
    std::set<std::string> all(rest.documents.begin(), rest.documents.end());
    all.insert(held.documents.begin(), held.documents.end());
    EXPECT_EQ(all.size(), 1000u);
  }
  EXPECT_TRUE(read_all(files, {0, true}).documents.empty());
}

TEST_F(DocumentReaderTest, AFileThatVanishedIsAnError) {
  const auto files = file("a.txt", "text");
  remove_tree(dir_.path("a.txt"));
  EXPECT_EQ(error_of([&] { read_all(files); }),
            "cannot open " + dir_.path("a.txt") + ": No such file or directory");
}

}  // namespace
}  // namespace ashlar::data
