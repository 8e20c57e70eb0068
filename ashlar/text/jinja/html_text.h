// Text out of HTML, as Python's html.unescape and MarkupSafe's Markup.striptags read it. Both take
// time and memory in proportion to the text.
#pragma once

#include <string>
#include <string_view>

namespace ashlar::text::jinja {

// &amp; &#38; &#x26; become &; what HTML reads without ; is read so here too.
std::string unescape_html(std::string_view text);

// Without <tags> and <!-- comments -->, runs of white space as one space, then unescaped.
std::string strip_tags(std::string_view text);

}  // namespace ashlar::text::jinja
