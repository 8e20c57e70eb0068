// The filter `urlize`: web and mail addresses in a text as links of HTML, found by the rules of
// jinja2's urlize. Takes time in proportion to the text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::text::jinja {

struct LinkStyle {
  std::optional<int64_t> longest;    // code points of an address that are shown
  std::string attributes;            // ` rel="..." target="..."`, escaped
  std::vector<std::string> schemes;  // beginnings that make a word a link: 'tel:'
};

// `escaped` has no & < > ' " of its own but as HTML's references.
std::string link_addresses(std::string_view escaped, const LinkStyle& style);

// Whether `text` can stand in LinkStyle::schemes.
bool is_uri_scheme(std::string_view text);

}  // namespace ashlar::text::jinja
