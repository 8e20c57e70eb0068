#include "ashlar/text/jinja/string_literal.h"

#include "ashlar/base/utf8.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/unicode.h"

#include <charconv>

namespace ashlar::text::jinja {
namespace {

constexpr std::string_view kSimpleEscapes = "abfnrtv\\'\"";
constexpr std::string_view kSimpleValues = "\a\b\f\n\r\t\v\\'\"";

// Reads exactly `digits` hexadecimal digits at `at` and moves behind them.
char32_t hex_escape(std::string_view text, size_t& at, size_t digits) {
  uint32_t code = 0;
  const std::string_view part = text.substr(at, digits);
  const auto [stop, error] = std::from_chars(part.data(), part.data() + part.size(), code, 16);
  if (part.size() < digits || stop != part.data() + digits || error != std::errc()) {
    fault("truncated escape \\{}{}", text[at - 1], part);
  }
  if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
    fault("escape \\{}{} is not a character", text[at - 1], part);
  }
  at += digits;
  return code;
}

char32_t octal_escape(std::string_view text, size_t& at) {
  char32_t code = 0;
  for (int i = 0; i < 3 && at < text.size() && text[at] >= '0' && text[at] <= '7'; ++i) {
    code = code * 8 + static_cast<char32_t>(text[at++] - '0');
  }
  return code;
}

}  // namespace

std::string unescape_literal(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const char c = text[at++];
    if (c != '\\' || at == text.size()) {
      out += c;
      continue;
    }
    const char escape = text[at];
    const size_t simple = kSimpleEscapes.find(escape);
    if (simple != kSimpleEscapes.npos) {
      out += kSimpleValues[simple];
      ++at;
    } else if (escape == '\n') {
      ++at;
    } else if (escape >= '0' && escape <= '7') {
      append_utf8(out, octal_escape(text, at));
    } else if (escape == 'x' || escape == 'u' || escape == 'U') {
      ++at;
      append_utf8(out, hex_escape(text, at, escape == 'x' ? 2 : escape == 'u' ? 4 : 8));
    } else if (escape == 'N') {
      fault("character names (\\N{{...}}) are not supported; write \\uXXXX");
    } else {
      out += '\\';
    }
  }
  return out;
}

}  // namespace ashlar::text::jinja
