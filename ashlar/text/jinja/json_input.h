// JSON text to a value: objects keep the order of their keys, a key given twice keeps its last
// value.
#pragma once

#include "ashlar/text/jinja/value.h"

#include <string_view>

namespace ashlar::text::jinja {

// `where` names the text in errors. Error for malformed JSON, integers beyond 64 bits and nesting
// beyond Value::kMaxDepth.
Value parse_json(std::string_view text, std::string_view where);

}  // namespace ashlar::text::jinja
