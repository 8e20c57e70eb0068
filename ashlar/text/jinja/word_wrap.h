// The filter `wordwrap`: lines of at most so many code points, broken where Python's textwrap
// breaks them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace ashlar::text::jinja {

struct WrapStyle {
  int64_t width = 79;            // code points, above 0
  bool break_long_words = true;  // words longer than a line
  bool break_on_hyphens = true;
};

// The parts of `line`, which has no line breaks, without the white space between them; none for
// white space alone. In time proportional to the line's length.
std::vector<std::string_view> wrap_words(std::string_view line, const WrapStyle& style);

}  // namespace ashlar::text::jinja
