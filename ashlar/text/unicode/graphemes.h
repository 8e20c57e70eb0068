// Where a text may be cut into what readers take for one character (extended grapheme clusters,
// Unicode Standard Annex 29).
#pragma once

#include <cstddef>
#include <string_view>

namespace ashlar::text {

// Bytes of the grapheme that `text` starts with; text is well-formed and not empty.
size_t grapheme_length(std::string_view text);

}  // namespace ashlar::text
