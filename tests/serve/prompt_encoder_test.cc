// Messages become the tokens of what the chat template makes of them.
#include "ashlar/serve/prompt_encoder.h"

#include "tests/base/messages.h"
#include "tests/base/paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::serve {
namespace {

using ::testing::HasSubstr;

constexpr const char* kMarkup =
    "{% for m in messages %}<{{ m.role }}>{{ CONTENT }}</{{ m.role }}>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}";

constexpr int64_t kContext = 512;

// CONTENT of kMarkup: how a template writes out a message.
PromptEncoder encoder(const std::string& content) {
  std::string source = kMarkup;
  source.replace(source.find("CONTENT"), 7, content);
  text::Tokenizer tokenizer =
      text::Tokenizer::from_json_file(fmt::format("{}/models/llama/tokenizer.json", test_data()));
  const int32_t vocab = tokenizer.vocab_size();
  return {std::move(tokenizer), text::ChatTemplate::parse(source, "test"), {}, vocab, kContext};
}

ChatPrompt conversation(const std::string& last) {
  ChatPrompt prompt;
  prompt.messages = {{"user", "Hi", ""}, {"assistant", last, ""}};
  prompt.add_generation_prompt = false;
  prompt.continue_final_message = true;
  return prompt;
}

std::string rendered(const PromptEncoder& encoder, const ChatPrompt& prompt) {
  return encoder.decode(encoder.encode(prompt));
}

TEST(PromptEncoder, ContinuesTheFinalMessageWhereItEnds) {
  const PromptEncoder plain = encoder("m.content");
  ChatPrompt whole = conversation("The answer is");
  whole.continue_final_message = false;
  EXPECT_EQ(rendered(plain, whole), "<user>Hi</user><assistant>The answer is</assistant>");
  EXPECT_EQ(rendered(plain, conversation("The answer is")),
            "<user>Hi</user><assistant>The answer is");
  EXPECT_EQ(rendered(plain, conversation("The answer is ")),
            "<user>Hi</user><assistant>The answer is ");
  EXPECT_EQ(rendered(plain, conversation("")), "<user>Hi</user><assistant>");
  EXPECT_EQ(rendered(plain, conversation("Hi</user>Hi")), "<user>Hi</user><assistant>Hi</user>Hi");
}

TEST(PromptEncoder, ATemplateThatTrimsTrimsTheContinuedMessageToo) {
  const PromptEncoder trims = encoder("m.content | trim");
  EXPECT_EQ(rendered(trims, conversation("  The answer is \n")),
            "<user>Hi</user><assistant>The answer is");
}

TEST(PromptEncoder, PartsGoToATemplateThatReadsThem) {
  ChatPrompt prompt = conversation("one\ntwo");
  prompt.messages.back().parts = {"one", "two"};
  const PromptEncoder parts = encoder(
      "m.content if m.content is string else m.content | map(attribute='text') | join('|')");
  EXPECT_EQ(rendered(parts, prompt), "<user>Hi</user><assistant>one|two");
  EXPECT_EQ(rendered(encoder("m.content"), prompt), "<user>Hi</user><assistant>one\ntwo");
}

TEST(PromptEncoder, RefusesToContinueWhatTheTemplateLeavesOut) {
  const PromptEncoder drops = encoder("m.content if m.role == 'user' else ''");
  try {
    drops.encode(conversation("The answer is"));
    FAIL() << "not refused";
  } catch (const RequestError& error) {
    EXPECT_EQ(error.fault().kind, FaultKind::kInvalid);
    EXPECT_EQ(error.fault().param, "continue_final_message");
    EXPECT_THAT(error.what(), HasSubstr("does not write out the final message"));
  }
}

// Before it is tokenized, which would take long and much memory.
TEST(PromptEncoder, RefusesATemplateThatPrintsWithoutEnd) {
  const PromptEncoder prints = encoder("m.content * 1000000");
  ChatPrompt prompt;
  prompt.messages = {{"user", "It goes on and on and on", ""}};
  try {
    prints.encode(prompt);
    FAIL() << "not refused";
  } catch (const RequestError& error) {
    EXPECT_EQ(error.fault().kind, FaultKind::kContextLength);
    EXPECT_EQ(error.fault().param, "messages");
    EXPECT_STREQ(error.what(),
                 "messages: the chat template makes 24000024 bytes of them, more than 1048576 for "
                 "a context of 512 tokens; shorten them, or mend the template");
  }
}

}  // namespace
}  // namespace ashlar::serve
