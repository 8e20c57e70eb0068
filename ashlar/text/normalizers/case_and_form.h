// Unicode normal forms and lower case, over utf8proc.
#pragma once

#include <string>
#include <string_view>

namespace ashlar::text {

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

void to_unicode_form(std::string& text, UnicodeForm form);
// Character by character, without context (a final sigma stays a plain one).
void to_lower(std::string& text);

// Keeps the characters `keep` accepts: f(char32_t) -> bool.
template <typename Keep>
void filter_chars(std::string& text, Keep&& keep);

}  // namespace ashlar::text

#include "ashlar/base/utf8.h"

namespace ashlar::text {

template <typename Keep>
void filter_chars(std::string& text, Keep&& keep) {
  size_t out = 0;
  for (size_t at = 0; at < text.size();) {
    const DecodedChar c = decode_utf8(text.data() + at);
    if (keep(c.value)) {
      for (uint32_t i = 0; i < c.length; ++i) text[out++] = text[at + i];
    }
    at += c.length;
  }
  text.resize(out);
}

}  // namespace ashlar::text
