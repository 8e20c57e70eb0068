// Everything jinja2 rendered for tests/fixtures/chat/goldens.json, rendered here.
#include "ashlar/base/error.h"
#include "ashlar/base/mapped_file.h"
#include "ashlar/text/chat_template.h"
#include "tests/base/paths.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ctime>
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

// 2024-07-26 09:05:07, as the oracle has it.
std::tm golden_time() {
  std::tm time{};
  time.tm_year = 124;
  time.tm_mon = 6;
  time.tm_mday = 26;
  time.tm_hour = 9;
  time.tm_min = 5;
  time.tm_sec = 7;
  time.tm_wday = 5;
  time.tm_yday = 207;
  return time;
}

const jinja::RenderOptions kOptions = {.limits = {}, .now = golden_time};

std::string text_of(const Dict& row, const char* key) {
  const Value* value = row.find(key);
  return value == nullptr ? "" : value->string();
}

// The spans a golden has, as text, so that a mismatch prints well.
std::string spans_text(const Dict& golden) {
  std::string out;
  if (const Value* spans = golden.find("spans")) {
    for (const Value& span : spans->items()) {
      out += fmt::format("[{},{}]", span.items()[0].integer(), span.items()[1].integer());
    }
  }
  return out;
}

std::string spans_text(const std::vector<jinja::GeneratedSpan>& spans) {
  std::string out;
  for (const auto& span : spans) out += fmt::format("[{},{}]", span.begin, span.end);
  return out;
}

TEST(JinjaGolden, Snippets) {
  const Dict& variables = goldens().find("variables")->dict();
  int checked = 0;
  for (const Value& row : goldens().find("snippets")->items()) {
    const Dict& golden = row.dict();
    const std::string source = text_of(golden, "source"), error = text_of(golden, "error");
    SCOPED_TRACE(source);
    try {
      const jinja::Template parsed(source, "snippet");
      const jinja::Rendered rendered = parsed.render(variables, kOptions);
      EXPECT_EQ(error, "") << "rendered " << rendered.text;
      if (error.empty()) {
        EXPECT_EQ(rendered.text, text_of(golden, "text"));
        EXPECT_EQ(spans_text(rendered.generated), spans_text(golden));
      }
    } catch (const Error& failure) {
      EXPECT_NE(error, "") << failure.what();
      EXPECT_EQ(std::string(failure.what()).rfind("snippet:", 0), 0u) << failure.what();
    }
    ++checked;
  }
  EXPECT_GT(checked, 900);
}

TEST(JinjaGolden, ErrorsAtLoadAreFoundAtLoad) {
  for (const Value& row : goldens().find("snippets")->items()) {
    if (text_of(row.dict(), "error") != "load") continue;
    const std::string source = text_of(row.dict(), "source");
    EXPECT_THROW(jinja::Template(source, "snippet"), Error) << source;
  }
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
