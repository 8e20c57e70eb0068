#include "ashlar/base/error.h"
#include "ashlar/text/chat_template.h"
#include "tests/fuzz/inputs.h"

#include <ctime>
#include <string>

namespace ashlar::testing {
namespace {

// A hundredth of what a rendering may use: the same paths, sooner.
constexpr text::jinja::Limits kSmall = {
    .max_steps = 100'000, .max_bytes = 4 << 20, .max_output = 1 << 20};

text::ChatRequest conversation() {
  text::ChatRequest request;
  request.messages = text::jinja::parse_json(R"([
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": [{"type": "text", "text": "\u00c9t\u00e9?"}]},
      {"role": "assistant", "content": null, "tool_calls": [
        {"id": "c1", "type": "function",
         "function": {"name": "weather", "arguments": {"city": "Oslo", "days": 3}}}]},
      {"role": "tool", "name": "weather", "content": "-1.5"},
      {"role": "assistant", "content": "<think>cold</think>Cold."}])",
                                             "messages");
  request.tools = text::jinja::parse_json(R"([{"type": "function", "function": {
      "name": "weather", "description": "d", "parameters": {"type": "object", "properties":
      {"city": {"type": "string"}}, "required": ["city"]}}}])",
                                          "tools");
  request.special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  return request;
}

}  // namespace

void read_template(std::string_view bytes) {
  try {
    const auto parsed = text::ChatTemplate::parse(bytes, "fuzz", kSmall);
    const auto now = [] {
      std::tm time{};
      time.tm_year = 124;
      time.tm_mday = 29;
      time.tm_mon = 1;
      return time;
    };
    parsed.render(conversation(), {.limits = kSmall, .now = now});
  } catch (const Error&) {
  }
}

}  // namespace ashlar::testing
