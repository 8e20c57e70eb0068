#include "ashlar/data/example.h"

#include "tests/base/messages.h"
#include "tests/data/byte_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::data {
namespace {

using ashlar::testing::error_of;
using ::testing::AllOf;
using testing::ByteEncoder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Counted segments in braces.
std::vector<std::string> parse(std::string_view line, const ByteEncoder& encoder) {
  std::vector<std::string> shown;
  for (const Example& example : parse_example(line, encoder, "f.jsonl:7")) {
    shown.emplace_back(example.framed ? "" : "unframed ");
    for (const Segment& segment : example.segments) {
      if (segment.text.empty()) continue;
      shown.back() += segment.counted ? "{" + segment.text + "}" : segment.text;
    }
  }
  return shown;
}
std::vector<std::string> parse(std::string_view line,
                               ByteEncoder::Template chat = ByteEncoder::Template::kPlain) {
  ByteEncoder encoder;
  encoder.chat = chat;
  return parse(line, encoder);
}
std::string error(std::string_view line,
                  ByteEncoder::Template chat = ByteEncoder::Template::kPlain) {
  return error_of([&] { parse(line, chat); });
}

constexpr const char* kTalk =
    R"({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "t>yo"}, {"role": "user", "content": "and"},
        {"role": "assistant", "content": "u>so"}, {"role": "user", "content": "bye"}]})";

TEST(ExampleTest, TextCountsWhole) {
  EXPECT_THAT(parse(R"({"text": "a\nb", "id": 3})"), ElementsAre("unframed {a\nb}"));
}

TEST(ExampleTest, OnlyTheCompletionCounts) {
  EXPECT_THAT(parse(R"({"prompt": "2+2=", "completion": "4"})"), ElementsAre("unframed 2+2={4}"));
}

TEST(ExampleTest, OnlyAnswersCount) {
  EXPECT_THAT(parse(kTalk), ElementsAre("[system]S\n[user]hi\n[assistant]{t>yo\n}[user]and\n"
                                        "[assistant]{u>so\n}"));
}

TEST(ExampleTest, GenerationMarksDecideWhereTheTemplateHasThem) {
  EXPECT_THAT(parse(kTalk, ByteEncoder::Template::kMarked),
              ElementsAre("[system]S\n[user]hi\n[assistant]{t>yo}\n[user]and\n[assistant]{u>so}\n"
                          "[user]bye\n"));
}

TEST(ExampleTest, ATemplateThatRewritesEarlierTurnsGivesOneExampleForEachAnswer) {
  EXPECT_THAT(parse(kTalk, ByteEncoder::Template::kForgetful),
              ElementsAre("[system]S\n[user]hi\n[assistant]{t>yo\n}",
                          "[system]S\n[user]hi\n[assistant]yo\n[user]and\n[assistant]{u>so\n}"));
}

TEST(ExampleTest, PromptAndCompletionMayBeMessages) {
  constexpr const char* kLine =
      R"({"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
                     {"role": "user", "content": "c"}],
          "completion": [{"role": "assistant", "content": "d"}]})";
  EXPECT_THAT(parse(kLine), ElementsAre("[user]a\n[assistant]b\n[user]c\n[assistant]{d\n}"));
  EXPECT_THAT(parse(kLine, ByteEncoder::Template::kMarked),
              ElementsAre("[user]a\n[assistant]b\n[user]c\n[assistant]{d}\n"));
}

TEST(ExampleTest, ToolsReachTheTemplateInTheirOrder) {
  EXPECT_THAT(parse(R"({"tools": [{"z": 1, "a": 2}],
                        "messages": [{"role": "assistant", "content": "x"}]})"),
              ElementsAre("{[{\"z\":1,\"a\":2}]}\n[assistant]{x\n}"));
}

TEST(ExampleTest, ErrorsNameThePlaceAndWhatIsWrong) {
  EXPECT_EQ(error(R"({"txt": "a", "id": 1})"),
            "f.jsonl:7: no \"text\", no \"messages\", no \"prompt\" and \"completion\"; the line "
            "has \"txt\", \"id\"");
  EXPECT_THAT(error("{}"), HasSubstr("the line has no keys"));
  EXPECT_THAT(error(R"({"prompt": "a"})"), HasSubstr("the line has \"prompt\""));
  EXPECT_EQ(error("[1]"), "f.jsonl:7: array stands where an object should be");
  EXPECT_THAT(error(R"({"text": "a)"), StartsWith("f.jsonl:7:12: "));
  EXPECT_THAT(error("{\"text\": \"\xFF\"}"), StartsWith("f.jsonl:7:11: "));
  EXPECT_THAT(error(R"({"text": "a"} {"text": "b"})"), StartsWith("f.jsonl:7:15: "));
  EXPECT_THAT(error("{\"a\":" + std::string(100000, '[')),
              AllOf(StartsWith("f.jsonl:7:"), HasSubstr("nested deeper")));
  EXPECT_EQ(error(R"({"text": 5})"), "f.jsonl:7: \"text\" is number, not a string");
  EXPECT_EQ(error(R"({"prompt": "a", "completion": ""})"),
            "f.jsonl:7: \"completion\" is empty: nothing to learn");
  EXPECT_EQ(error(R"({"prompt": "a", "completion": null})"),
            "f.jsonl:7: \"completion\" is null, not a string");
  EXPECT_EQ(error(R"({"messages": []})"),
            "f.jsonl:7: \"messages\" is empty, not a list of messages");
  EXPECT_EQ(error(R"({"messages": "hi"})"),
            "f.jsonl:7: \"messages\" is string, not a list of messages");
  EXPECT_EQ(error(R"({"messages": [3]})"), "f.jsonl:7: message 1 is number, not an object");
  EXPECT_EQ(error(R"({"messages": [{"content": "x"}]})"), "f.jsonl:7: message 1 has no \"role\"");
  EXPECT_EQ(error(R"({"messages": [{"role": "user"}]})"),
            "f.jsonl:7: message 1 has no \"content\"");
  EXPECT_EQ(error(R"({"messages": [{"role": "user", "content": "x"}]})"),
            "f.jsonl:7: no message has the role \"assistant\": nothing to learn");
  EXPECT_EQ(error(R"({"messages": [{"role": "villain", "content": "x"},
                                   {"role": "assistant", "content": "x"}]})"),
            "f.jsonl:7: the template refuses the role villain");
  EXPECT_EQ(error(kTalk, ByteEncoder::Template::kNone), "f.jsonl:7: no chat template");
  EXPECT_THAT(error(kTalk, ByteEncoder::Template::kOddPrompt),
              StartsWith("f.jsonl:7: the chat template starts message 3 otherwise than its "
                         "generation prompt does"));
}

}  // namespace
}  // namespace ashlar::data
