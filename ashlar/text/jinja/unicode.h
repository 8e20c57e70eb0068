// Strings as Python sees them, a sequence of code points, over UTF-8 bytes: lengths, positions,
// properties and the case conversions of str.upper, lower, title, capitalize and casefold.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ashlar::text::jinja {

// The functions below expect valid UTF-8.
size_t code_points(std::string_view text);
// Byte offset of the index-th code point; text.size() when there are fewer.
size_t byte_offset(std::string_view text, size_t index);
// Reads the code point at byte `at` and moves `at` behind it.
char32_t next_code_point(std::string_view text, size_t& at);
// Reads the code point that ends at byte `at` and moves `at` to its start.
char32_t previous_code_point(std::string_view text, size_t& at);

bool is_space(char32_t code);  // what str.strip() and str.split() take as white space
bool is_alpha(char32_t code);
bool is_alnum(char32_t code);
bool is_decimal(char32_t code);
bool is_digit(char32_t code);
bool is_numeric(char32_t code);
bool is_upper(char32_t code);
bool is_lower(char32_t code);
bool is_title(char32_t code);
bool is_printable(char32_t code);
bool is_line_break(char32_t code);  // what str.splitlines() splits at

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_title(std::string_view text);  // str.title()
std::string to_capitalized(std::string_view text);
std::string to_swapped_case(std::string_view text);
std::string to_folded(std::string_view text);  // str.casefold()

// str.isupper() and str.islower(): some cased code points, and none of another case.
bool is_in_case(std::string_view text, bool upper);
// str.istitle(): upper and title case only at the start of words, lower case only within.
bool is_titled(std::string_view text);

// Where `needle` starts in `text` at or after byte `from`, or npos; linear time for any input.
size_t find_bytes(std::string_view text, std::string_view needle, size_t from = 0);

}  // namespace ashlar::text::jinja
