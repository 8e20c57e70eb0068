// Encode once: what is kept, what makes it stale, what happens to damage, deaths and crowds.
#include "ashlar/data/token_cache.h"

#include "ashlar/base/crash_point.h"
#include "ashlar/base/file.h"
#include "ashlar/base/file_writer.h"
#include "tests/base/child.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"
#include "tests/data/byte_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <signal.h>

#include <chrono>
#include <filesystem>
#include <thread>

namespace ashlar::data {
namespace {

namespace fs = std::filesystem;
using ashlar::testing::error_of;
using ashlar::testing::quick_folder;
using ashlar::testing::run_in_child;
using ashlar::testing::TempDir;
using testing::ByteEncoder;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::spell;

class TokenCacheTest : public ::testing::Test {
 protected:
  TokenCacheTest() {
    options_.folder = dir_.path("cache");
    options_.quiet = true;
    put("a.txt", "one two");
  }
  void put(const std::string& name, const std::string& text) {
    FileWriter(dir_.path(name)).write(text);
  }
  std::string open(const std::string& spec = "a.txt") {
    const TokenSet set = open_tokens({dir_.path(spec)}, encoder_, options_, pool_);
    std::vector<int32_t> tokens(static_cast<size_t>(set.tokens()));
    set.read(0, tokens);
    return spell(tokens);
  }
  // Whether opening had to encode.
  bool encodes(const std::string& spec = "a.txt") {
    const int64_t before = encoder_.calls;
    open(spec);
    return encoder_.calls > before;
  }
  std::vector<std::string> entries() {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(options_.folder)) {
      if (entry.is_directory()) found.push_back(entry.path().string());
    }
    return found;
  }
  std::string only_shard() { return join_path(entries().at(0), "00000.tok"); }

  TempDir dir_{quick_folder()};
  ByteEncoder encoder_;
  CacheOptions options_;
  ThreadPool pool_{2};
};

TEST_F(TokenCacheTest, EncodesOnce) {
  EXPECT_EQ(open(), "one two<e>");
  EXPECT_EQ(encoder_.calls, 1);
  EXPECT_EQ(open(), "one two<e>");
  EXPECT_EQ(encoder_.calls, 1);
  EXPECT_EQ(entries().size(), 1u);
}

TEST_F(TokenCacheTest, WhateverDecidesTokensMakesAnotherEntry) {
  open();
  put("a.txt", "one twe");  // the same size
  EXPECT_EQ(open(), "one twe<e>");
  encoder_.print = 8;
  EXPECT_TRUE(encodes());
  options_.bad_utf8 = BadUtf8::kReplace;
  EXPECT_TRUE(encodes());
  options_.shard_tokens = 3;
  EXPECT_TRUE(encodes());
  EXPECT_EQ(entries().size(), 5u);
  EXPECT_FALSE(encodes());
}

TEST_F(TokenCacheTest, WhatDoesNotDecideTokensMakesNone) {
  open();
  fs::rename(dir_.path("a.txt"), dir_.path("b.txt"));
  EXPECT_FALSE(encodes("b.txt"));
  put("b.txt", "other");
  put("b.txt", "one two");
  EXPECT_FALSE(encodes("b.txt"));
}

TEST_F(TokenCacheTest, ASettledFileIsNotReadAgain) {
  // A file changed an hour ago: its hash is remembered by its time and size.
  const auto hour_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  fs::last_write_time(dir_.path("a.txt"), hour_ago);
  open();
  open();
  EXPECT_FALSE(encodes());
  // Its content changes behind that, and only the inode's time of change can tell.
  put("a.txt", "owe two");
  fs::last_write_time(dir_.path("a.txt"), hour_ago);
  EXPECT_EQ(open(), "owe two<e>");
}

TEST_F(TokenCacheTest, DamageIsFoundAndMended) {
  open();
  const std::string whole = read_file(only_shard());
  const auto damage = [&](const std::string& what) {
    EXPECT_TRUE(encodes()) << what;
    EXPECT_EQ(open(), "one two<e>") << what;
    EXPECT_EQ(read_file(only_shard()), whole) << what;
  };
  std::string altered = whole;
  altered[130] = 'x';  // a token
  FileWriter(only_shard()).write(altered);
  damage("altered");
  FileWriter(only_shard()).write(whole.substr(0, whole.size() - 1));
  damage("torn");
  remove_tree(only_shard());
  damage("shard lost");
  put("cache/" + file_name(entries()[0]) + "/manifest.json", "{\"shards\": [{");
  damage("manifest torn");
  put("cache/" + file_name(entries()[0]) + "/manifest.json", "{\"shards\": [{\"file\": 3}]}");
  damage("manifest altered");
  remove_tree(join_path(entries()[0], "manifest.json"));
  damage("manifest lost");
  put("cache/hashes.json", "[[[");
  EXPECT_FALSE(encodes());  // only a memory
}

// A death at every write, sync and rename of an entry: the next run finds nothing or all of it.
TEST_F(TokenCacheTest, ADeathAtAnyMomentLeavesNothingHalf) {
  int deaths = 0;
  for (int point = 1;; ++point) {
    remove_tree(options_.folder);
    const auto end = run_in_child([&] {
      ::setenv("ASHLAR_CRASH_AT", std::to_string(point).c_str(), 1);
      reload_crash_points();
      ThreadPool alone(1);
      open_tokens({dir_.path("a.txt")}, encoder_, options_, alone);
    });
    EXPECT_EQ(open(), "one two<e>") << point;
    EXPECT_EQ(entries().size(), 1u) << point;
    if (end.signal == 0) break;
    EXPECT_EQ(end.signal, SIGKILL);
    ++deaths;
  }
  EXPECT_GE(deaths, 12);
}

TEST_F(TokenCacheTest, OfManyAtOnceOneEncodes) {
  std::string text;
  for (int i = 0; i < 200000; ++i) text += "many words in a long text\n";
  put("a.txt", text);
  const int64_t pieces = [&] {
    open();
    return encoder_.calls.exchange(0);
  }();
  remove_tree(options_.folder);
  std::vector<std::thread> crowd;
  for (int i = 0; i < 4; ++i) {
    crowd.emplace_back([&] {
      ThreadPool alone(1);
      const TokenSet set = open_tokens({dir_.path("a.txt")}, encoder_, options_, alone);
      EXPECT_EQ(set.tokens(), std::ssize(text) + 1);
    });
  }
  for (std::thread& thread : crowd) thread.join();
  EXPECT_EQ(encoder_.calls, pieces);
}

TEST_F(TokenCacheTest, ErrorsLeaveNothingBehind) {
  put("bad.jsonl", "{\"text\": \"a\"}\n{\"text\": 3}\n");
  EXPECT_THAT(error_of([&] { open("bad.jsonl"); }), HasSubstr("bad.jsonl:2: \"text\" is number"));
  EXPECT_TRUE(entries().empty());
  put("blank.txt", "  \n\n");
  EXPECT_THAT(error_of([&] { open("blank.txt"); }),
              EndsWith("there is no text in it to learn from"));
  put("cache2", "a file");
  options_.folder = dir_.path("cache2");
  EXPECT_THAT(error_of([&] { open(); }), HasSubstr("cannot create folder " + dir_.path("cache2")));
}

TEST_F(TokenCacheTest, TokensAreOpenedWhereTheyLie) {
  ShardWriter writer(dir_.path(), {.vocab_size = 258, .tokenizer = encoder_.print});
  writer.append(std::vector<int32_t>{'a', 'b', 'c'}, {}, std::vector<int64_t>{0}, 3);
  writer.finish();
  EXPECT_EQ(open("00000.tok"), "abc");
  EXPECT_EQ(encoder_.calls, 0);
  EXPECT_FALSE(is_directory(options_.folder));
  encoder_.print = 9;
  EXPECT_THAT(error_of([&] { open("00000.tok"); }),
              EndsWith("its tokens were made with another tokenizer; give the text instead"));
  encoder_.print = 7;
  options_.source.extensions = {"tok", "txt"};
  EXPECT_THAT(error_of([&] { open("."); }), HasSubstr("some files are text and 1 are tokens"));
  std::string altered = read_file(dir_.path("00000.tok"));
  altered[130] = 'x';
  put("00000.tok", altered);
  EXPECT_THAT(error_of([&] { open("00000.tok"); }),
              EndsWith("the checksum does not fit; the file was altered"));
}

TEST_F(TokenCacheTest, HeldOutDocumentsAreAnEntryOfTheirOwn) {
  std::string lines;
  for (int i = 0; i < 10; ++i) lines += fmt::format("{{\"text\": \"{}\"}}\n", i);
  put("a.jsonl", lines);
  options_.choice = {0.2, false};
  EXPECT_EQ(open("a.jsonl"), "0<e>1<e>2<e>3<e>5<e>6<e>7<e>8<e>");
  options_.choice = {0.2, true};
  EXPECT_EQ(open("a.jsonl"), "4<e>9<e>");
}

}  // namespace
}  // namespace ashlar::data
