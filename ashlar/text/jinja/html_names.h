// HTML's character references: &name; and the numbers that stand for something else than their code
// point. Both tables are in rising order.
#pragma once

#include <span>
#include <string_view>

namespace ashlar::text::jinja::tables {

struct HtmlName {
  std::string_view name;   // without & and ;
  char32_t first, second;  // second is 0 where the name means one character
  bool bare;               // read without ; too
};

struct HtmlNumber {
  char32_t code, meaning;  // meaning 0: none at all, as Python has it
};

std::span<const HtmlName> html_names();
std::span<const HtmlNumber> html_numbers();

}  // namespace ashlar::text::jinja::tables
