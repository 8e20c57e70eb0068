// Text of others as messages show it: on one line, without control characters or bytes that are no
// UTF-8, which become \x1b, and cut where it is long.
#pragma once

#include <string>
#include <string_view>

namespace ashlar {

constexpr size_t kShownText = 80, kShownMessage = 4000;  // bytes

// In quotes: 'abc'.
std::string shown_text(std::string_view text, size_t longest = kShownText);
// As it is: what JSON holds, a whole message.
std::string on_one_line(std::string_view text, size_t longest);

}  // namespace ashlar
