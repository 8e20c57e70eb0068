// The filter `pprint`: a value as Python's pprint.pformat writes it, in lines of 80 characters
// where it can, the keys of dicts sorted.
#pragma once

#include "ashlar/text/jinja/value.h"

#include <string>

namespace ashlar::text::jinja {

class Runtime;

std::string pretty_print(Runtime& runtime, const Value& value);

}  // namespace ashlar::text::jinja
