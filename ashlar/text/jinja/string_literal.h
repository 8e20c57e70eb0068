// The escapes of Python's string literals: \n \t \\ \' \" \a \b \f \r \v \ooo \xhh \uhhhh
// \Uhhhhhhhh, a backslash before a newline, and unknown ones, which stay as they are.
#pragma once

#include <string>
#include <string_view>

namespace ashlar::text::jinja {

// Of the text between the quotes; Fault for a broken escape.
std::string unescape_literal(std::string_view text);

}  // namespace ashlar::text::jinja
