// Python's two ways to fill values into a text: 'a %s' % x and 'a {}'.format(x).
#pragma once

#include "ashlar/text/jinja/arguments.h"
#include "ashlar/text/jinja/value.h"

#include <string>

namespace ashlar::text::jinja {

class Runtime;

// `values` is a tuple, a dict for %(name)s, or a single value. A markup format escapes its values.
std::string format_percent(Runtime& runtime, const Value& format, const Value& values);

std::string format_braces(Runtime& runtime, const Value& format, const Arguments& arguments);

}  // namespace ashlar::text::jinja
