// One value under a format specification, [[fill]align][sign][#][0][width][,][.precision][type]:
// what both '%5.2f' % x and '{:5.2f}'.format(x) come down to.
#pragma once

#include "ashlar/text/jinja/value.h"

#include <optional>
#include <string>

namespace ashlar::text::jinja {

class Runtime;

struct FormatSpec {
  std::string fill = " ";
  char align = 0;      // '<' '>' '^' '=', 0: the type's own
  char sign = '-';     // '-' '+' ' '
  char separator = 0;  // ',' or '_' between thousands
  bool alternate = false;
  int64_t width = 0;
  std::optional<int64_t> precision;
  char type = 0;
};

// The specification of str.format(); Fault when malformed.
FormatSpec parse_format_spec(std::string_view text);

// Python's format(value, spec).
std::string format_value(Runtime& runtime, const Value& value, const FormatSpec& spec);

// The parts that the % operator uses by itself.
std::string format_integer(Runtime& runtime, int64_t value, const FormatSpec& spec);
std::string format_float(Runtime& runtime, double value, const FormatSpec& spec);
std::string format_text(Runtime& runtime, const std::string& text, const FormatSpec& spec);

}  // namespace ashlar::text::jinja
