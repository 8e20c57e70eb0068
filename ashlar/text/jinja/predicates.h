// The tests of templates: {{ value is name(arguments) }}; all of jinja2's.
#pragma once

#include "ashlar/text/jinja/arguments.h"
#include "ashlar/text/jinja/value.h"

#include <string_view>

namespace ashlar::text::jinja {

class Runtime;

using Predicate = bool (*)(Runtime& runtime, const Value& value, const Arguments& arguments);

Predicate find_predicate(std::string_view name);  // nullptr when there is none

}  // namespace ashlar::text::jinja
