// Properties of whole tokenizers: text and bytes come back, streams equal decode, threads agree.
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/detokenizer.h"
#include "ashlar/text/tokenizer.h"
#include "tests/base/paths.h"
#include "tests/text/random_text.h"
#include "tests/text/streamed.h"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

namespace ashlar::text {
namespace {

using testing::HasSubstr;

Tokenizer model(const std::string& name) {
  return Tokenizer::from_json_file(fmt::format("{}/{}/tokenizer.json", test_data(), name));
}

TEST(RoundTrip, ByteLevelGivesTextBack) {
  for (const char* name : {"models/gpt2", "models/llama"}) {
    const Tokenizer tokenizer = model(name);
    RandomText random(name);
    for (int i = 0; i < 2000; ++i) {
      const std::string text = random.text(60);
      ASSERT_EQ(tokenizer.decode(tokenizer.encode(text, false), false), text);
    }
  }
}

TEST(RoundTrip, ByteLevelGivesAnyBytesBack) {
  const Tokenizer tokenizer = model("models/gpt2");
  RandomText random("bytes");
  for (int i = 0; i < 3000; ++i) {
    const std::string bytes = random.bytes(60);
    const auto ids = tokenizer.encode(bytes, false);
    ASSERT_EQ(tokenizer.decode_bytes(ids, false), bytes);
    std::string repaired;
    append_repaired_utf8(repaired, bytes);
    ASSERT_EQ(tokenizer.decode(ids, false), repaired);
  }
}

TEST(RoundTrip, SentencePieceStyleGivesTextBack) {
  const Tokenizer tokenizer = model("models/llama2");
  RandomText random("llama2");
  for (int i = 0; i < 2000; ++i) {
    const std::string text = random.text(60);
    if (text.find("<s>") != std::string::npos) continue;           // a token of its own
    if (text.find("\xE2\x96\x81") != std::string::npos) continue;  // becomes a space
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(text, false), false), text);
  }
}

TEST(RoundTrip, IllFormedTextIsAnErrorWithoutByteTokens) {
  const Tokenizer tokenizer = model("models/llama2");
  try {
    tokenizer.encode("ab\xC3", false);
    FAIL() << "no Error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("not UTF-8 at byte 2 (0xC3)"));
  }
}

TEST(RoundTrip, AMegabyteWithoutASpace) {
  const std::string text = [] {
    std::string out;
    while (out.size() < 1'000'000) out += "abcdefghijklmnopqrstuvw"[out.size() * out.size() % 23];
    return out;
  }();
  for (const char* name : {"models/gpt2", "models/llama2", "tokenizers/bert"}) {
    const Tokenizer tokenizer = model(name);
    const auto ids = tokenizer.encode(text, false);
    if (std::string_view(name) == "tokenizers/bert") {
      EXPECT_EQ(ids, (std::vector<int32_t>{1}));  // longer than any word may be
    } else {
      EXPECT_EQ(tokenizer.decode(ids, false), text);
    }
  }
}

TEST(Detokenizer, RandomIdsGiveTheTextOfDecodeInWholeCharacters) {
  int tokenizers = 0;
  for (const std::string folder : {"models", "tokenizers"}) {
    for (const std::string& name : list_directory(test_data(folder))) {
      const std::string path = test_data(folder + "/" + name + "/tokenizer.json");
      if (!is_file(path)) continue;
      ++tokenizers;
      const Tokenizer tokenizer = Tokenizer::from_json_file(path);
      RandomText random(name);
      for (int round = 0; round < 150; ++round) {
        const std::vector<int32_t> ids = random_ids(tokenizer, random, 50);
        const bool skip = round % 2 == 0;
        ASSERT_EQ(streamed(tokenizer, ids, skip), tokenizer.decode(ids, skip)) << path;
      }
    }
  }
  EXPECT_GE(tokenizers, 10);
}

TEST(Detokenizer, SaysACharacterAsSoonAsItIsWhole) {
  const Tokenizer tokenizer = model("models/gpt2");
  Detokenizer detokenizer(tokenizer, true);
  const std::string face = "\xF0\x9F\x99\x82";
  const auto ids = tokenizer.encode(face, false);
  ASSERT_GT(ids.size(), 1u);
  for (size_t i = 0; i + 1 < ids.size(); ++i) EXPECT_EQ(detokenizer.push(ids[i]), "");
  EXPECT_EQ(detokenizer.push(ids.back()), face);
  EXPECT_EQ(detokenizer.push(ids[0]), "");
  EXPECT_EQ(detokenizer.finish(), "\xEF\xBF\xBD");
}

TEST(Tokenizer, EncodesOnManyThreadsAtOnce) {
  const Tokenizer tokenizer = model("models/llama");
  std::vector<std::string> texts;
  std::vector<std::vector<int32_t>> expected;
  RandomText random("threads");
  for (int i = 0; i < 200; ++i) {
    texts.push_back(random.text(50));
    expected.push_back(tokenizer.encode(texts.back(), true));
  }
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < texts.size(); ++i) {
        const size_t which = (i * (2 * t + 1)) % texts.size();
        if (tokenizer.encode(texts[which], true) != expected[which]) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Tokenizer, KnowsItsVocabulary) {
  const Tokenizer tokenizer = model("models/llama");
  EXPECT_EQ(tokenizer.vocab_size(), 512);
  EXPECT_EQ(tokenizer.special_ids(), (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(tokenizer.token_to_id("<|eot_id|>"), 2);
  EXPECT_EQ(tokenizer.token_to_id("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer.id_to_token(-1), std::nullopt);
  EXPECT_EQ(tokenizer.id_to_token(512), std::nullopt);
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    ASSERT_TRUE(tokenizer.id_to_token(id)) << id;
    EXPECT_EQ(tokenizer.token_to_id(*tokenizer.id_to_token(id)), id);
    EXPECT_EQ(tokenizer.is_special(id), id < 3);
  }
}

}  // namespace
}  // namespace ashlar::text
