// Documents to shards: what the tokens are, which of them count, where documents start; the same
// bytes for any number of threads.
#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "ashlar/data/encode_corpus.h"
#include "ashlar/data/token_set.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"
#include "tests/data/byte_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

namespace ashlar::data {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::quick_folder;
using ashlar::testing::TempDir;
using testing::ByteEncoder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::spell;
using ::testing::StartsWith;

struct Encoded {
  std::string tokens, counted;  // counted: the tokens that count, _ for the others
  std::vector<int64_t> starts;
  int64_t text_bytes = 0;
};

class EncodeTest : public ::testing::Test {
 protected:
  std::vector<TokenShard> shards_of(const std::string& name, int threads = 1,
                                    int64_t shard_tokens = 1 << 20) {
    const std::string out = dir_.path(fmt::format("out{}", outs_++));
    make_directories(out);
    ShardWriter writer(out, {encoder_.vocab, encoder_.print, shard_tokens});
    ThreadPool pool(threads);
    encode_corpus(list_files({dir_.path(name)}, {}), encoder_, options_, pool, writer);
    std::vector<TokenShard> shards;
    for (const ShardInfo& info : writer.finish()) {
      shards.push_back(TokenShard::open(join_path(out, info.file)));
      shards.back().verify();
    }
    return shards;
  }

  Encoded encode(const std::string& name, const std::string& text) {
    write_file(dir_.path(name), text);
    const TokenSet set(name, shards_of(name), encoder_.vocab, encoder_.end);
    Encoded encoded;
    std::vector<int32_t> tokens(static_cast<size_t>(set.tokens()));
    set.read(0, tokens);
    encoded.tokens = spell(tokens);
    set.mask(0, tokens);
    encoded.counted = spell(tokens);
    for (int64_t d = 0; d < set.documents(); ++d) {
      encoded.starts.push_back(set.document_start(d));
    }
    encoded.text_bytes = set.text_bytes();
    return encoded;
  }

  std::string error(const std::string& name, const std::string& text) {
    return error_of([&] { encode(name, text); });
  }

  TempDir dir_{quick_folder()};
  int outs_ = 0;
  ByteEncoder encoder_;
  EncodeOptions options_;
};

TEST_F(EncodeTest, TextIsFramedAndCountsWhole) {
  encoder_.begin = {ByteEncoder::kBegin};
  const Encoded encoded = encode("a.txt", "one\ntwo");
  EXPECT_EQ(encoded.tokens, "<b>one\ntwo<e>");
  EXPECT_EQ(encoded.counted, encoded.tokens);
  EXPECT_THAT(encoded.starts, ElementsAre(0));
  EXPECT_EQ(encoded.text_bytes, 7);
}

TEST_F(EncodeTest, MasksOfPromptsAndTextInOneFile) {
  const Encoded encoded = encode("a.jsonl", R"({"prompt": "ab", "completion": "cd"}
{"text": "ef"}

{"prompt": "", "completion": "g"}
)");
  EXPECT_EQ(encoded.tokens, "abcd<e>ef<e>g<e>");
  EXPECT_EQ(encoded.counted, "__cd<e>ef<e>g<e>");
  EXPECT_THAT(encoded.starts, ElementsAre(0, 5, 8));
  EXPECT_EQ(encoded.text_bytes, 7);
}

TEST_F(EncodeTest, EmptyTextIsNoDocument) {
  encoder_.begin = {ByteEncoder::kBegin};
  const Encoded encoded = encode("a.jsonl", "{\"text\": \"\"}\n{\"text\": \"a\"}\n");
  EXPECT_EQ(encoded.tokens, "<b>a<e>");
  EXPECT_THAT(encoded.starts, ElementsAre(0));
}

TEST_F(EncodeTest, MasksOfMessagesAndNoFrame) {
  encoder_.begin = {ByteEncoder::kBegin};
  encoder_.chat = ByteEncoder::Template::kForgetful;
  const Encoded encoded = encode(
      "a.jsonl",
      R"({"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "x>y"},)"
      R"({"role": "user", "content": "v"}, {"role": "assistant", "content": "z"}]})");
  EXPECT_EQ(encoded.tokens,
            "[user]u\n[assistant]x>y\n[user]u\n[assistant]y\n[user]v\n[assistant]z\n");
  EXPECT_EQ(encoded.counted, fmt::format("{:_<19}x>y\n{:_<40}z\n", "", ""));
  EXPECT_THAT(encoded.starts, ElementsAre(0, 23));
}

TEST_F(EncodeTest, AnEndInsideTheTextEndsADocument) {
  struct Ending : ByteEncoder {
    void encode(std::string_view text, std::vector<int32_t>& out) const override {
      for (const char c : text) out.push_back(c == '|' ? kEnd : c);
    }
  };
  const Ending ending;
  const SourceFile file{"a.txt", FileKind::kText, 0};
  EncodedPiece out;
  encode_piece({.text = "ab|cd|", .file = &file}, ending, BadUtf8::kRefuse, out);
  EXPECT_EQ(spell(out.tokens), "ab<e>cd<e>");
  EXPECT_THAT(out.starts, ElementsAre(0, 3));
  // A piece that ends with one, and whose document goes on, starts the next piece.
  encode_piece({.text = "ab|", .file = &file, .ends = false}, ending, BadUtf8::kRefuse, out);
  EXPECT_THAT(out.starts, ElementsAre(0, 3));

  ShardWriter writer(dir_.path(), {.vocab_size = 258});
  for (int i = 0; i < 2; ++i) writer.append(out.tokens, out.counted, out.starts, 3);
  EXPECT_EQ(writer.documents(), 2);  // the start after the first piece is that of the second
}

TEST_F(EncodeTest, ATokenizerWithoutAnEndWritesNone) {
  encoder_.end = -1;
  EXPECT_EQ(encode("a.txt", "ab").tokens, "ab");
}

TEST_F(EncodeTest, ThreadsDoNotChangeABit) {
  make_directories(dir_.path("mixed"));
  std::string text;
  for (int i = 0; text.size() < 3000000; ++i) text += fmt::format("line {} of a long text\n", i);
  std::string lines;
  for (int i = 0; i < 3000; ++i) {
    lines += fmt::format(R"({{"prompt": "{}", "completion": "{}"}})", i, i * i) + "\n";
  }
  FileWriter(dir_.path("mixed/a.jsonl")).write(lines);
  for (const char* name : {"mixed/b.txt", "mixed/c.md"}) FileWriter(dir_.path(name)).write(text);
  const auto one = shards_of("mixed", 1, 1 << 20);
  const auto three = shards_of("mixed", 3, 1 << 20);
  ASSERT_EQ(one.size(), three.size());
  EXPECT_GE(one.size(), 5u);
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(read_file(one[i].path()), read_file(three[i].path())) << i;
  }
}

TEST_F(EncodeTest, TheCutIntoShardsDoesNotChangeTheStream) {
  std::string lines;
  for (int i = 0; i < 300; ++i) {
    lines += fmt::format(R"({{"prompt": "{}", "completion": "{}"}})", std::string(i % 17, 'p'), i) +
             "\n";
  }
  FileWriter(dir_.path("a.jsonl")).write(lines);
  const TokenSet whole("a", shards_of("a.jsonl"), 258, 256);
  for (const int64_t shard_tokens : {1, 7, 64, 1000}) {
    auto shards = shards_of("a.jsonl", 1, shard_tokens);
    EXPECT_EQ(std::ssize(shards), (whole.tokens() + shard_tokens - 1) / shard_tokens);
    const TokenSet cut("a", std::move(shards), 258, 256);
    ASSERT_EQ(cut.tokens(), whole.tokens());
    ASSERT_EQ(cut.documents(), 300);
    EXPECT_EQ(cut.text_bytes(), whole.text_bytes());
    for (int64_t d = 0; d <= 300; ++d) EXPECT_EQ(cut.document_start(d), whole.document_start(d));
    std::vector<int32_t> a(static_cast<size_t>(whole.tokens())), b(a.size());
    whole.read(0, a);
    cut.read(0, b);
    EXPECT_EQ(a, b);
    whole.mask(0, a);
    cut.mask(0, b);
    EXPECT_EQ(a, b);
    for (int64_t first = 0; first < whole.tokens(); first += 37) {
      EXPECT_EQ(cut.count(first, whole.tokens()), whole.count(first, whole.tokens()));
      std::vector<int64_t> starts, expected;
      cut.each_start(first, first + 50, [&](int64_t at) { starts.push_back(at); });
      whole.each_start(first, first + 50, [&](int64_t at) { expected.push_back(at); });
      EXPECT_EQ(starts, expected);
    }
  }
}

TEST_F(EncodeTest, MemoryStaysBounded) {
  std::string text;
  for (int i = 0; text.size() < (40u << 20); ++i) text += fmt::format("line {} of a text\n", i);
  FileWriter(dir_.path("a.txt")).write(text);
  const std::vector<SourceFile> files = list_files({dir_.path("a.txt")}, {});
  DocumentReader reader(files, {});
  int64_t largest = 0, total = 0;
  for (;;) {
    int64_t batch = 0;
    for (const Piece& piece : reader.next()) batch += static_cast<int64_t>(piece.text.size());
    if (batch == 0) break;
    largest = std::max(largest, batch);
    total += batch;
  }
  EXPECT_EQ(total, std::ssize(text));
  EXPECT_LE(largest, 20 << 20);
}

TEST_F(EncodeTest, TextThatIsNotUtf8IsRefusedOrReplaced) {
  EXPECT_EQ(error("a.txt", "one\ntwo \xC3(\n"),
            dir_.path("a.txt") +
                ":2: not UTF-8 (byte 0xc3); convert the file, or set data.bad_utf8=replace");
  EXPECT_THAT(error("b.txt", "cut \xE2\x82"), HasSubstr("b.txt:1: not UTF-8 (byte 0xe2)"));
  options_.bad_utf8 = BadUtf8::kReplace;
  EXPECT_EQ(encode("a.txt", "two \xC3(").tokens, "two \xEF\xBF\xBD(<e>");
}

TEST_F(EncodeTest, TheFirstBadLineIsReportedForAnyNumberOfThreads) {
  std::string lines;
  for (int i = 0; i < 200; ++i) lines += i % 50 == 49 ? "{\"text\": 1}\n" : "{\"text\": \"a\"}\n";
  FileWriter(dir_.path("a.jsonl")).write(lines);
  for (const int threads : {1, 2, 3}) {
    EXPECT_THAT(error_of([&] { shards_of("a.jsonl", threads); }),
                StartsWith(dir_.path("a.jsonl") + ":50: \"text\" is number"));
  }
}

TEST_F(EncodeTest, ATokenBeyondTheVocabularyIsAnError) {
  encoder_.vocab = 100;
  EXPECT_EQ(error("a.txt", "z"),
            "data: the tokenizer gave token 122, beyond its vocabulary of 100");
}

TEST_F(EncodeTest, ProgressReachesTheEnd) {
  std::vector<EncodeProgress> seen;
  options_.progress = [&](const EncodeProgress& progress) { seen.push_back(progress); };
  encode("a.txt", "abc\ndef");
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back().bytes_done, 7);
  EXPECT_EQ(seen.back().bytes, 7);
  EXPECT_EQ(seen.back().tokens, 8);
}

}  // namespace
}  // namespace ashlar::data
