// Stop strings in text that arrives in pieces.
#include "ashlar/generate/stop_strings.h"

#include "ashlar/base/file.h"
#include "ashlar/generate/text_stream.h"
#include "ashlar/text/tokenizer.h"
#include "tests/base/paths.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace ashlar::generate {
namespace {

TEST(StopStrings, HoldsBackWhatMayBeTheBeginning) {
  StopStrings stops({"\nUser:", "END"});
  EXPECT_EQ(stops.push("Hello\n"), "Hello");
  EXPECT_EQ(stops.push("Us"), "");
  EXPECT_EQ(stops.push("ed"), "\nUsed");
  EXPECT_EQ(stops.push(" E"), " ");
  EXPECT_FALSE(stops.found());
  EXPECT_EQ(stops.push("ND of it"), "");
  EXPECT_TRUE(stops.found());
  EXPECT_EQ(stops.push("more"), "");
  EXPECT_EQ(stops.finish(), "");
}

TEST(StopStrings, GivesOutTheRestAtTheEnd) {
  StopStrings stops({"stop"});
  EXPECT_EQ(stops.push("a sto"), "a ");
  EXPECT_EQ(stops.finish(), "sto");
}

TEST(StopStrings, TheFirstToBeCompleteEndsTheText) {
  StopStrings stops({"abcd", "c", "bc"});
  EXPECT_EQ(stops.push("xabcd"), "xa") << "of those complete at once, the longest";
  EXPECT_TRUE(stops.found());
}

TEST(StopStrings, NoneAndEmptyOnesDoNothing) {
  StopStrings stops({""});
  EXPECT_EQ(stops.push("text"), "text");
  EXPECT_FALSE(stops.found());
}

// Against the definition, over all ways of cutting.
TEST(StopStrings, DoesNotDependOnTheCut) {
  std::mt19937 random(3);
  const auto word = [&](size_t length) {
    std::string text;
    for (size_t i = 0; i < length; ++i) text += static_cast<char>('a' + random() % 2);
    return text;
  };
  int found = 0;
  for (int round = 0; round < 3000; ++round) {
    const std::string text = word(random() % 20);
    const std::vector<std::string> list = {word(2 + random() % 4), word(3 + random() % 4)};
    size_t wanted = text.size();
    for (size_t end = 1; end <= text.size() && wanted == text.size(); ++end) {
      for (const std::string& stop : list) {
        if (text.substr(0, end).ends_with(stop)) wanted = std::min(wanted, end - stop.size());
      }
    }
    StopStrings stops(list);
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t length = 1 + random() % 4;
      out += stops.push(text.substr(at, length));
      at += length;
    }
    out += stops.finish();
    ASSERT_EQ(out, text.substr(0, wanted)) << text << " / " << list[0] << " / " << list[1];
    found += stops.found();
  }
  EXPECT_GT(found, 500);
}

class TextStreams : public ::testing::TestWithParam<const char*> {
 protected:
  text::Tokenizer tokenizer_ = text::Tokenizer::from_json_file(
      join_path(join_path(test_data(), "models"), join_path(GetParam(), "tokenizer.json")));
};

TEST_P(TextStreams, PromptAndStreamTogetherAreTheWholeText) {
  const std::string_view text =
      "Two words, \xE6\x97\xA5\xE6\x9C\xAC and an emoji \xF0\x9F\x98\x80 end.";
  const std::vector<int32_t> ids = tokenizer_.encode(text, true);
  for (size_t cut = 1; cut < ids.size(); ++cut) {
    const std::span<const int32_t> before(ids.data(), cut);
    // Where the cut is inside a character, the stream completes it.
    std::string whole = tokenizer_.decode(before, true);
    while (whole.ends_with("\xEF\xBF\xBD")) whole.resize(whole.size() - 3);
    TextStream stream(tokenizer_, before, {});
    for (size_t i = cut; i < ids.size(); ++i) whole += stream.push(ids[i]);
    whole += stream.finish();
    EXPECT_EQ(whole, text) << "cut at " << cut;
  }
}

TEST_P(TextStreams, StopsBeforeAStopString) {
  const std::vector<int32_t> prompt = tokenizer_.encode("One", true);
  TextStream stream(tokenizer_, prompt, {"three"});
  std::string out;
  for (const int32_t id : tokenizer_.encode(" two three four", false)) {
    out += stream.push(id);
    if (stream.stopped()) break;
  }
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(stream.finish(), "");
  EXPECT_TRUE(out.ends_with("two "));
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, TextStreams, ::testing::Values("gpt2", "llama", "llama2"));

}  // namespace
}  // namespace ashlar::generate
