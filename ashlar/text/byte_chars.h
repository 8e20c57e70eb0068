// GPT-2's byte alphabet: each of the 256 bytes as one printable character, so that byte-level
// vocabularies are text. Printable Latin-1 bytes stand for themselves, the others follow from
// U+0100 on in rising order (a space is U+0120).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ashlar::text {

char32_t byte_char(uint8_t byte);
// The byte that the character stands for; -1 when it stands for none.
int char_byte(char32_t c);

void append_byte_chars(std::string& out, std::string_view bytes);

}  // namespace ashlar::text
