// The filter `tojson` as transformers defines it: json.dumps(value, ensure_ascii=False,
// indent=None, separators=None, sort_keys=False), without jinja2's escapes for HTML.
#pragma once

#include "ashlar/text/jinja/value.h"

#include <optional>
#include <string>

namespace ashlar::text::jinja {

class Runtime;

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // of one level; nullopt: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

// Fault for what JSON has no form for: undefined, functions, iterators.
std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace ashlar::text::jinja
