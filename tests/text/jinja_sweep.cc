#include "tests/text/jinja_sweep.h"

#include "ashlar/base/error.h"

#include <fmt/format.h>

#include <optional>

namespace ashlar::text {
namespace {

using jinja::Dict;
using jinja::Value;

std::string text_of(const Dict& row, const char* key) {
  const Value* value = row.find(key);
  return value == nullptr ? "" : value->string();
}

// What jinja2 says and what is found here are written alike: the kind of error, or text and spans.
std::string wanted(const Dict& golden) {
  const std::string error = text_of(golden, "error");
  return error.empty() ? "text " + text_of(golden, "text") + spans_text(golden)
                       : "error at " + error;
}

std::string found(const std::string& source, const Dict& variables, std::string& message) {
  std::optional<jinja::Template> parsed;
  try {
    parsed.emplace(source, "template");
  } catch (const Error& error) {
    message = error.what();
    return "error at load";
  }
  try {
    const jinja::Rendered rendered = parsed->render(variables, {.limits = {}, .now = golden_time});
    return "text " + rendered.text + spans_text(rendered.generated);
  } catch (const Error& error) {
    message = error.what();
    return "error at render";
  }
}

}  // namespace

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

std::string spans_text(const std::vector<jinja::GeneratedSpan>& spans) {
  std::string out;
  for (const auto& span : spans) out += fmt::format("[{},{}]", span.begin, span.end);
  return out;
}

std::string spans_text(const Dict& golden) {
  std::vector<jinja::GeneratedSpan> spans;
  if (const Value* rows = golden.find("spans")) {
    for (const Value& row : rows->items()) {
      spans.push_back({static_cast<size_t>(row.items()[0].integer()),
                       static_cast<size_t>(row.items()[1].integer())});
    }
  }
  return spans_text(spans);
}

void compare_with_jinja2(const Dict& golden, const Dict& variables, SweepResult& result) {
  const std::string source = text_of(golden, "source");
  const Value* own = golden.find("variables");
  std::string message;
  const std::string here = found(source, own != nullptr ? own->dict() : variables, message);
  const std::string there = wanted(golden);
  ++result.checked;
  if (there.rfind("error", 0) == 0) ++result.refused;
  const bool placed = message.empty() || message.rfind("template:", 0) == 0;
  // What jinja2 refuses while rendering may be refused before.
  const bool agree = here == there || (here == "error at load" && there == "error at render");
  if (agree && placed) return;
  result.differences.push_back(fmt::format("{}{}\n    found  {} {}\n    wanted {}",
                                           text_of(golden, "name"), source, here, message, there));
}

}  // namespace ashlar::text
