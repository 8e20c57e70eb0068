#include "ashlar/data/token_shard.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "ashlar/data/shard_format.h"
#include "ashlar/data/shard_writer.h"
#include "ashlar/data/token_set.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace ashlar::data {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::quick_folder;
using ashlar::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

template <typename T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

class TokenShardTest : public ::testing::Test {
 protected:
  // A shard of tokens 0, 1, ..., of which those with a 1 in `counted` count.
  std::string write(int64_t tokens, int64_t vocab, const std::vector<uint8_t>& counted = {},
                    const std::vector<int64_t>& starts = {0}) {
    ShardWriter writer(dir_.path(), {.vocab_size = vocab, .tokenizer = 42});
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < tokens; ++i) ids.push_back(static_cast<int32_t>(i % vocab));
    writer.append(ids, counted, starts, 9);
    return dir_.path(writer.finish().at(0).file);
  }
  std::vector<int32_t> read(const TokenShard& shard) {
    std::vector<int32_t> ids(static_cast<size_t>(shard.tokens()));
    shard.read(0, ids);
    return ids;
  }
  std::string open_error(const std::string& path) {
    return error_of([&] { TokenShard::open(path).verify(); });
  }
  std::string put(const std::string& name, const std::string& content) {
    FileWriter(dir_.path(name)).write(content);
    return dir_.path(name);
  }
  TempDir dir_{quick_folder()};
};

TEST_F(TokenShardTest, GivesBackWhatWasWritten) {
  for (const int64_t vocab : {65536, 65537}) {  // two and four bytes a token
    const TokenShard shard = TokenShard::open(write(70001, vocab, {}, {0, 5, 70000}));
    shard.verify();
    EXPECT_EQ(shard.tokens(), 70001);
    EXPECT_EQ(read(shard)[65536], 65536 % vocab);
    EXPECT_THAT(shard.starts(), ElementsAre(0, 5, 70000));
    EXPECT_FALSE(shard.has_mask());
    EXPECT_EQ(shard.count(3, 90), 87);
    EXPECT_EQ(shard.vocab_size(), vocab);
    EXPECT_EQ(shard.tokenizer(), 42u);
    EXPECT_EQ(shard.text_bytes(), 9);
    EXPECT_EQ(file_size(shard.path()),
              128 + (vocab == 65536 ? 140008 : 280008) + 3 * 8);  // as the format says
  }
}

TEST_F(TokenShardTest, CountsMaskedTokensOverAnyRange) {
  std::mt19937 random(1);
  std::vector<uint8_t> counted(1000);
  for (uint8_t& c : counted) c = random() % 3 == 0;
  const TokenShard shard = TokenShard::open(write(1000, 300, counted));
  for (int i = 0; i < 500; ++i) {
    int64_t first = random() % 1001, end = random() % 1001;
    if (first > end) std::swap(first, end);
    EXPECT_EQ(shard.count(first, end),
              std::count(counted.begin() + first, counted.begin() + end, 1));
  }
  for (int64_t i = 0; i < 1000; ++i) EXPECT_EQ(shard.counted(i), counted[size_t(i)] != 0);
}

// Every single-byte change and every cut of a small shard is noticed.
TEST_F(TokenShardTest, NoticesEveryChangeAndCut) {
  const std::string path = write(
      21, 300, std::vector<uint8_t>{1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
      {0, 7});
  const std::string whole = read_file(path);
  ASSERT_EQ(open_error(path), "(no error)");
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string altered = whole;
    altered[i] = static_cast<char>(altered[i] ^ 0x10);
    EXPECT_THAT(open_error(put("x.tok", altered)), HasSubstr("token shard")) << i;
    EXPECT_THAT(open_error(put("x.tok", whole.substr(0, i))), HasSubstr("token shard")) << i;
  }
  EXPECT_THAT(open_error(put("x.tok", whole + "z")), EndsWith("it is torn"));
}

// A header that is consistent with its own checksum may still lie.
TEST_F(TokenShardTest, RefusesHostileHeaders) {
  const std::string whole = read_file(write(21, 300, {}, {0, 7}));
  const auto with = [&](auto&& change) {
    std::string altered = whole;
    ShardHeader header;
    std::memcpy(&header, altered.data(), sizeof(header));
    change(header);
    const auto bytes = std::as_bytes(std::span(&header, 1));
    header.header_checksum = xxh64(bytes.first(offsetof(ShardHeader, header_checksum)));
    std::memcpy(altered.data(), &header, sizeof(header));
    return open_error(put("x.tok", altered));
  };
  EXPECT_EQ(with([](ShardHeader&) {}), "(no error)");
  EXPECT_THAT(with([](ShardHeader& h) { h.version = 2; }),
              EndsWith("version 2, this program reads 1"));
  EXPECT_THAT(with([](ShardHeader& h) { h.token_bytes = 3; }), EndsWith("contradicts itself"));
  EXPECT_THAT(with([](ShardHeader& h) { h.tokens = UINT64_MAX / 2; }),
              EndsWith("contradicts itself"));
  EXPECT_THAT(with([](ShardHeader& h) { h.documents = UINT64_MAX / 8; }),
              EndsWith("contradicts itself"));
  EXPECT_THAT(with([](ShardHeader& h) { h.tokens = 40; }), EndsWith("it is torn"));
  EXPECT_THAT(with([](ShardHeader& h) { h.flags = kShardHasMask; }), EndsWith("it is torn"));
}

TEST_F(TokenShardTest, RefusesAListOfDocumentsThatLies) {
  for (const std::vector<uint64_t>& starts : {std::vector<uint64_t>{7, 0}, {0, 0}, {0, 21}}) {
    std::string altered = read_file(write(21, 300, {}, {0, 7}));
    altered.replace(altered.size() - 16, 16, raw(starts));
    ShardHeader header;
    std::memcpy(&header, altered.data(), sizeof(header));
    header.content_checksum = xxh64(std::string_view(altered).substr(sizeof(header)));
    const auto bytes = std::as_bytes(std::span(&header, 1));
    header.header_checksum = xxh64(bytes.first(offsetof(ShardHeader, header_checksum)));
    std::memcpy(altered.data(), &header, sizeof(header));
    EXPECT_THAT(open_error(put("x.tok", altered)),
                EndsWith("its list of documents contradicts itself"));
  }
}

TEST_F(TokenShardTest, ReadsShardsOfLlmC) {
  std::vector<int32_t> header(256, 0);
  header[0] = 20240520;
  header[1] = 1;
  header[2] = 4;
  const std::string tokens = raw(std::vector<uint16_t>{50256, 7, 65535, 0});
  const TokenShard shard = TokenShard::open(put("a.bin", raw(header) + tokens));
  EXPECT_THAT(read(shard), ElementsAre(50256, 7, 65535, 0));
  EXPECT_FALSE(shard.lists_documents());
  EXPECT_THAT(open_error(put("b.bin", raw(header) + tokens.substr(2))),
              EndsWith("1030 bytes, but its llm.c header speaks of 4 tokens; it is torn"));
  header[1] = 7;
  EXPECT_THAT(open_error(put("c.bin", raw(header) + tokens)),
              EndsWith("llm.c shard of version 7, this program reads 1"));
}

TEST_F(TokenShardTest, ReadsBareUint16) {
  const TokenShard shard =
      TokenShard::open(put("train.bin", raw(std::vector<uint16_t>{5, 50256, 9})));
  EXPECT_THAT(read(shard), ElementsAre(5, 50256, 9));
  EXPECT_THAT(open_error(put("odd.bin", "abc")), HasSubstr("3 bytes, an odd number"));
}

TEST_F(TokenShardTest, FilesOfOthersAreToldApart) {
  std::vector<uint16_t> tokens(100000, 1);
  const uint64_t one = TokenShard::open(put("a.bin", raw(tokens))).content_checksum();
  tokens[50000] = 2;
  EXPECT_NE(TokenShard::open(put("b.bin", raw(tokens))).content_checksum(), one);
}

TEST_F(TokenShardTest, TokensWithoutAListEndDocumentsByTheirEndToken) {
  std::vector<TokenShard> shards;
  shards.push_back(TokenShard::open(put("a.bin", raw(std::vector<uint16_t>{1, 9, 2, 3, 9}))));
  shards.push_back(TokenShard::open(put("b.bin", raw(std::vector<uint16_t>{4, 5, 9}))));
  const TokenSet set("ab", std::move(shards), 10, 9);
  std::vector<int64_t> starts;
  set.each_start(0, set.tokens(), [&](int64_t at) { starts.push_back(at); });
  EXPECT_THAT(starts, ElementsAre(0, 2, 5));
}

TEST_F(TokenShardTest, ATokenBeyondTheVocabularyNamesFileAndPlace) {
  std::vector<TokenShard> shards;
  shards.push_back(TokenShard::open(put("a.bin", raw(std::vector<uint16_t>{1, 2, 3}))));
  shards.push_back(TokenShard::open(put("b.bin", raw(std::vector<uint16_t>{4, 5, 60000, 7}))));
  const TokenSet set("ab", std::move(shards), 10, -1);
  std::vector<int32_t> out(5);
  set.read(0, out);
  EXPECT_EQ(error_of([&] { set.read(2, out); }),
            "data " + dir_.path("b.bin") +
                ": token 60000 at 2 is beyond the vocabulary of 10; were the tokens made with "
                "another tokenizer?");
}

TEST_F(TokenShardTest, OneTokenIsNotEnough) {
  std::vector<TokenShard> shards;
  shards.push_back(TokenShard::open(put("a.bin", raw(std::vector<uint16_t>{1}))));
  EXPECT_EQ(error_of([&] { TokenSet("a", std::move(shards), 10, -1); }),
            "data a: 1 tokens; a prediction needs two");
}

}  // namespace
}  // namespace ashlar::data
