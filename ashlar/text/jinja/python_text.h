// Values as text: Python's str() and repr(). The text is paid for at the runtime.
#pragma once

#include "ashlar/text/jinja/value.h"

#include <string>
#include <string_view>

namespace ashlar::text::jinja {

class Runtime;

// 'abc' stays abc; undefined is empty; true is True; 1.0 is 1.0; a list is ['a', 1].
std::string str(Runtime& runtime, const Value& value);
std::string repr(Runtime& runtime, const Value& value);

// The shortest digits that read back as the same number: 0.1, 1e+16, inf, nan.
std::string float_text(double number);
// A Python string literal.
std::string in_quotes(std::string_view text);

}  // namespace ashlar::text::jinja
