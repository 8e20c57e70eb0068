#include "ashlar/text/jinja/unicode.h"

#include "ashlar/base/utf8.h"
#include "ashlar/text/jinja/unicode_tables.h"

#include <string.h>

#include <algorithm>

namespace ashlar::text::jinja {
namespace {

constexpr char32_t kFinalSigma = 0x3C2, kCapitalSigma = 0x3A3;

bool contains(std::span<const tables::CodeRange> ranges, char32_t code) {
  const auto after =
      std::upper_bound(ranges.begin(), ranges.end(), code,
                       [](char32_t c, const tables::CodeRange& range) { return c < range.first; });
  return after != ranges.begin() && code <= std::prev(after)->last;
}

// Appends what the map has for the code point; false where it has nothing.
bool append_mapped(std::string& out, const tables::CaseMap& map, char32_t code) {
  const auto run = std::upper_bound(
      map.runs.begin(), map.runs.end(), code,
      [](char32_t c, const tables::CaseRun& candidate) { return c < candidate.first; });
  if (run != map.runs.begin()) {
    const tables::CaseRun& candidate = *std::prev(run);
    if (code <= candidate.last && (code - candidate.first) % candidate.step == 0) {
      append_utf8(out, static_cast<char32_t>(static_cast<int32_t>(code) + candidate.delta));
      return true;
    }
  }
  const auto special = std::lower_bound(
      map.special.begin(), map.special.end(), code,
      [](const tables::CaseSpecial& candidate, char32_t c) { return candidate.code < c; });
  if (special == map.special.end() || special->code != code) return false;
  out += special->text;
  return true;
}

void append_upper(std::string& out, char32_t code) {
  if (!append_mapped(out, tables::kToUpper, code)) append_utf8(out, code);
}

void append_title(std::string& out, char32_t code) {
  if (!append_mapped(out, tables::kToTitle, code)) append_upper(out, code);
}

bool is_cased(char32_t code) { return is_upper(code) || is_lower(code) || is_title(code); }
bool is_case_ignorable(char32_t code) { return contains(tables::kCaseIgnorable, code); }

// Unicode's Final_Sigma: a letter before, none after, marks skipped. The sigma is text[begin, end).
bool is_final_sigma(std::string_view text, size_t begin, size_t end) {
  char32_t code = 0;
  while (begin > 0 && is_case_ignorable(code = previous_code_point(text, begin))) code = 0;
  if (code == 0 || !is_cased(code)) return false;
  code = 0;
  while (end < text.size() && is_case_ignorable(code = next_code_point(text, end))) code = 0;
  return code == 0 || !is_cased(code);
}

// Lower case of the code point text[begin, end).
void append_lower(std::string& out, std::string_view text, size_t begin, size_t end,
                  char32_t code) {
  if (code == kCapitalSigma && is_final_sigma(text, begin, end)) {
    append_utf8(out, kFinalSigma);
  } else if (!append_mapped(out, tables::kToLower, code)) {
    append_utf8(out, code);
  }
}

}  // namespace

size_t code_points(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t at = 0;
  while (at < text.size()) {
    if ((text[at] & 0xC0) != 0x80 && index-- == 0) return at;
    ++at;
  }
  return at;
}

char32_t next_code_point(std::string_view text, size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at++]);
  if (lead < 0x80) return lead;
  int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  char32_t code = lead & (0x3Fu >> more);
  for (; more > 0 && at < text.size(); --more) {
    code = (code << 6) | (static_cast<unsigned char>(text[at++]) & 0x3Fu);
  }
  return code;
}

char32_t previous_code_point(std::string_view text, size_t& at) {
  do {
    --at;
  } while (at > 0 && (text[at] & 0xC0) == 0x80);
  size_t forward = at;
  return next_code_point(text, forward);
}

bool is_space(char32_t code) {
  if (code < 0x80) return code == ' ' || (code >= 9 && code <= 13) || (code >= 28 && code <= 31);
  return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
         code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool is_line_break(char32_t code) {
  return (code >= 10 && code <= 13) || (code >= 28 && code <= 30) || code == 0x85 ||
         code == 0x2028 || code == 0x2029;
}

bool is_alpha(char32_t code) { return contains(tables::kAlpha, code); }
bool is_alnum(char32_t code) { return contains(tables::kAlnum, code); }
bool is_decimal(char32_t code) { return contains(tables::kDecimal, code); }
bool is_digit(char32_t code) { return contains(tables::kDigit, code); }
bool is_numeric(char32_t code) { return contains(tables::kNumeric, code); }
bool is_upper(char32_t code) { return contains(tables::kUpper, code); }
bool is_lower(char32_t code) { return contains(tables::kLower, code); }
bool is_title(char32_t code) { return contains(tables::kTitle, code); }
bool is_printable(char32_t code) { return contains(tables::kPrintable, code); }

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) append_upper(out, next_code_point(text, at));
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t code = next_code_point(text, at);
    append_lower(out, text, begin, at, code);
  }
  return out;
}

std::string to_title(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool inside_word = false;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t code = next_code_point(text, at);
    if (inside_word) {
      append_lower(out, text, begin, at, code);
    } else {
      append_title(out, code);
    }
    inside_word = is_cased(code);
  }
  return out;
}

std::string to_capitalized(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t code = next_code_point(text, at);
    if (begin == 0) {
      append_title(out, code);
    } else {
      append_lower(out, text, begin, at, code);
    }
  }
  return out;
}

std::string to_folded(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const char32_t code = next_code_point(text, at);
    const bool mapped =
        append_mapped(out, tables::kToFolded, code) || append_mapped(out, tables::kToLower, code);
    if (!mapped) append_utf8(out, code);
  }
  return out;
}

std::string to_swapped_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t code = next_code_point(text, at);
    if (is_upper(code)) {
      append_lower(out, text, begin, at, code);
    } else if (is_lower(code)) {
      append_upper(out, code);
    } else {
      append_utf8(out, code);
    }
  }
  return out;
}

bool is_in_case(std::string_view text, bool upper) {
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t code = next_code_point(text, at);
    if (is_title(code) || (upper ? is_lower(code) : is_upper(code))) return false;
    any = any || (upper ? is_upper(code) : is_lower(code));
  }
  return any;
}

bool is_titled(std::string_view text) {
  bool any = false, after_cased = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t code = next_code_point(text, at);
    const bool begins = is_upper(code) || is_title(code), goes_on = is_lower(code);
    if ((begins && after_cased) || (goes_on && !after_cased)) return false;
    after_cased = begins || goes_on;
    any = any || after_cased;
  }
  return any;
}

size_t find_bytes(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

}  // namespace ashlar::text::jinja
