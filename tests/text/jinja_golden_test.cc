// Everything jinja2 rendered for tests/fixtures/chat/goldens.json, rendered here.
#include "ashlar/base/error.h"
#include "ashlar/base/mapped_file.h"
#include "ashlar/text/chat_template.h"
#include "tests/base/paths.h"
#include "tests/text/jinja_sweep.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>
#include <string>

namespace ashlar::text {
namespace {

using jinja::Dict;
using jinja::Value;

std::string read_file(const std::string& name) {
  const MappedFile file(test_data("chat/") + name);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

const Dict& goldens() {
  static const Value kGoldens = jinja::parse_json(read_file("goldens.json"), "goldens.json");
  return kGoldens.dict();
}

const jinja::RenderOptions kOptions = {.limits = {}, .now = golden_time};

std::string text_of(const Dict& row, const char* key) {
  const Value* value = row.find(key);
  return value == nullptr ? "" : value->string();
}

TEST(JinjaGolden, Snippets) {
  SweepResult result;
  for (const Value& row : goldens().find("snippets")->items()) {
    compare_with_jinja2(row.dict(), goldens().find("variables")->dict(), result);
  }
  EXPECT_THAT(result.differences, testing::IsEmpty());
  EXPECT_GT(result.checked, 900);
}

TEST(JinjaGolden, TemplatesDrawnAtRandom) {
  const Value sweep = jinja::parse_json(read_file("sweep.json"), "sweep.json");
  SweepResult result;
  for (const Value& row : sweep.dict().find("snippets")->items()) {
    compare_with_jinja2(row.dict(), sweep.dict().find("variables")->dict(), result);
  }
  EXPECT_THAT(result.differences, testing::IsEmpty());
  EXPECT_GT(result.checked - result.refused, 150);
}

TEST(JinjaGolden, FiltersOfValuesDrawnAtRandom) {
  const Value sweep = jinja::parse_json(read_file("filters.json"), "filters.json");
  SweepResult result;
  for (const Value& row : sweep.dict().find("snippets")->items()) {
    compare_with_jinja2(row.dict(), sweep.dict().find("variables")->dict(), result);
  }
  EXPECT_THAT(result.differences, testing::IsEmpty());
  EXPECT_GT(result.checked - result.refused, 350);
}

TEST(JinjaGolden, Chats) {
  std::map<std::string, const Dict*> requests;
  for (const Value& request : goldens().find("requests")->items()) {
    requests[text_of(request.dict(), "name")] = &request.dict();
  }
  SpecialTokens tokens;
  for (const auto& [name, text] : goldens().find("tokens")->dict().entries()) {
    tokens.emplace_back(name.string(), text.string());
  }
  int checked = 0;
  for (const Value& row : goldens().find("chats")->items()) {
    const Dict& golden = row.dict();
    const std::string name = text_of(golden, "template"), request_name = text_of(golden, "request");
    SCOPED_TRACE(name + " / " + request_name);
    const Dict& fields = *requests.at(request_name);
    const auto field = [&](const char* key) {
      const Value* value = fields.find(key);
      return value == nullptr ? Value() : *value;
    };
    ChatRequest request;
    request.messages = field("messages");
    request.tools = field("tools");
    request.documents = field("documents");
    request.extra = field("extra");
    request.special_tokens = tokens;
    request.add_generation_prompt = golden.find("prompt")->boolean();
    const auto parsed =
        ChatTemplate::parse(read_file("templates/" + name + ".jinja"), name + ".jinja");
    const std::string error = text_of(golden, "error");
    try {
      const jinja::Rendered rendered = parsed.render_with_spans(request, kOptions);
      EXPECT_EQ(error, "") << "rendered " << rendered.text;
      if (error.empty()) {
        EXPECT_EQ(rendered.text, text_of(golden, "text"));
        EXPECT_EQ(spans_text(rendered.generated), spans_text(golden));
      }
    } catch (const Error& failure) {
      EXPECT_NE(error, "") << failure.what();
    }
    ++checked;
  }
  EXPECT_GT(checked, 390);
}

}  // namespace
}  // namespace ashlar::text
