// JSON text to a value: objects keep the order of their keys, a key given twice keeps its last
// value.
#pragma once

#include "ashlar/text/jinja/value.h"

#include <string_view>

namespace ashlar::text::jinja {

// What becomes of integers beyond 64 bits. Rounding suits configuration files, where they stand for
// "no limit" (model_max_length); what a template may print must not change.
enum class LargeIntegers { kRefuse, kRound };

// `where` names the text in errors. Error for malformed JSON and nesting near Value::kMaxDepth.
Value parse_json(std::string_view text, std::string_view where,
                 LargeIntegers large = LargeIntegers::kRefuse);

}  // namespace ashlar::text::jinja
