// How far a number reaches in the text of a template, as Python writes them: 1_000, 0x_ff, 1.5e-3.
#pragma once

#include <cstddef>
#include <string_view>

namespace ashlar::text::jinja {

struct NumberLiteral {
  size_t end = 0;     // the offset behind it
  bool real = false;  // with a point or an exponent
};

// source[at] is a digit.
NumberLiteral scan_number(std::string_view source, size_t at);

}  // namespace ashlar::text::jinja
