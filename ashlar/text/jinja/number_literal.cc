#include "ashlar/text/jinja/number_literal.h"

#include <cctype>

namespace ashlar::text::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_binary_digit(char c) { return c == '0' || c == '1'; }
bool is_octal_digit(char c) { return c >= '0' && c <= '7'; }
bool is_hex_digit(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }

// Digits with single underscores between them, from `at`; the offset behind.
size_t digits(std::string_view source, size_t at, bool (*is_digit_of)(char)) {
  const size_t begin = at;
  while (at < source.size()) {
    if (is_digit_of(source[at])) {
      ++at;
    } else if (source[at] == '_' && at > begin && at + 1 < source.size() &&
               is_digit_of(source[at + 1])) {
      at += 2;
    } else {
      break;
    }
  }
  return at;
}

// The end of a float literal; 0 when the number is an integer.
size_t float_end(std::string_view source, size_t at) {
  if (at > 0 && source[at - 1] == '.') return 0;  // a.0.1 is two look-ups
  size_t end = digits(source, at, is_digit);
  bool real = false;
  if (end + 1 < source.size() && source[end] == '.' && is_digit(source[end + 1])) {
    end = digits(source, end + 1, is_digit);
    real = true;
  }
  if (end < source.size() && (source[end] == 'e' || source[end] == 'E')) {
    size_t exponent = end + 1;
    if (exponent < source.size() && (source[exponent] == '-' || source[exponent] == '+')) {
      ++exponent;
    }
    if (exponent < source.size() && is_digit(source[exponent])) {
      end = digits(source, exponent, is_digit);
      real = true;
    }
  }
  return real ? end : 0;
}

// The end of 0b1, 0o7 or 0xf; 0 where there is none.
size_t prefixed_end(std::string_view source, size_t at, char letter, bool (*is_digit_of)(char)) {
  if (source[at] != '0' || at + 2 >= source.size()) return 0;
  if (std::tolower(static_cast<unsigned char>(source[at + 1])) != letter) return 0;
  const size_t first = at + 2 + (source[at + 2] == '_' ? 1 : 0);
  if (first >= source.size() || !is_digit_of(source[first])) return 0;
  return digits(source, first, is_digit_of);
}

size_t integer_end(std::string_view source, size_t at) {
  if (const size_t end = prefixed_end(source, at, 'b', is_binary_digit)) return end;
  if (const size_t end = prefixed_end(source, at, 'o', is_octal_digit)) return end;
  if (const size_t end = prefixed_end(source, at, 'x', is_hex_digit)) return end;
  // Python has no 007: a zero in front is followed by zeros only.
  if (source[at] == '0') return digits(source, at, [](char c) { return c == '0'; });
  return digits(source, at, is_digit);
}

}  // namespace

NumberLiteral scan_number(std::string_view source, size_t at) {
  const size_t end = float_end(source, at);
  return end != 0 ? NumberLiteral{end, true} : NumberLiteral{integer_end(source, at), false};
}

}  // namespace ashlar::text::jinja
