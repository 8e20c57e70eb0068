#include "ashlar/text/jinja/html_text.h"

#include "ashlar/base/utf8.h"
#include "ashlar/text/jinja/html_names.h"
#include "ashlar/text/jinja/text_ops.h"
#include "ashlar/text/jinja/unicode.h"

#include <algorithm>
#include <cstdint>

namespace ashlar::text::jinja {
namespace {

constexpr size_t kLongestName = 32;  // code points of a reference without &, # and ;
constexpr size_t kLongestBareName = 6;
constexpr uint32_t kReplacement = 0xFFFD;

int digit_value(char c, int base) {
  const int value = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : base;
  return value < base ? value : -1;
}

void append_number(std::string& out, uint32_t code) {
  const auto numbers = tables::html_numbers();
  const auto found = std::lower_bound(
      numbers.begin(), numbers.end(), code,
      [](const tables::HtmlNumber& number, uint32_t value) { return number.code < value; });
  if (found != numbers.end() && found->code == code) {
    if (found->meaning != 0) append_utf8(out, found->meaning);
    return;
  }
  const bool none = (code >= 0xD800 && code <= 0xDFFF) || code > 0x10FFFF;
  append_utf8(out, none ? kReplacement : code);
}

// text[at] is behind '&#'. Moves `at` behind the reference; false where there is none.
bool read_number(std::string_view text, size_t& at, std::string& out) {
  size_t next = at;
  const bool hex = next < text.size() && (text[next] == 'x' || text[next] == 'X');
  const int base = hex ? 16 : 10;
  if (hex) ++next;
  const size_t digits = next;
  uint32_t code = 0;
  for (; next < text.size() && digit_value(text[next], base) >= 0; ++next) {
    code = std::min<uint32_t>(
        code * static_cast<uint32_t>(base) + static_cast<uint32_t>(digit_value(text[next], base)),
        0x110000);
  }
  if (next == digits) return false;
  if (next < text.size() && text[next] == ';') ++next;
  append_number(out, code);
  at = next;
  return true;
}

const tables::HtmlName* find_name(std::string_view name) {
  const auto names = tables::html_names();
  const auto found = std::lower_bound(
      names.begin(), names.end(), name,
      [](const tables::HtmlName& row, std::string_view wanted) { return row.name < wanted; });
  return found != names.end() && found->name == name ? &*found : nullptr;
}

void append_name(std::string& out, const tables::HtmlName& name) {
  append_utf8(out, name.first);
  if (name.second != 0) append_utf8(out, name.second);
}

// text[at] is behind '&'. The longest name that `text` starts with there, else '&' as it is.
void read_name(std::string_view text, size_t& at, std::string& out) {
  size_t end = at;
  for (size_t count = 0; end < text.size() && count < kLongestName; ++count) {
    if (std::string_view("\t\n\f <&#;").find(text[end]) != std::string_view::npos) break;
    next_code_point(text, end);
  }
  const std::string_view name = text.substr(at, end - at);
  const bool closed = !name.empty() && end < text.size() && text[end] == ';';
  const tables::HtmlName* found = find_name(name);
  if (found != nullptr && (closed || found->bare)) {
    append_name(out, *found);
    at = closed ? end + 1 : end;
    return;
  }
  const size_t longest = std::min(kLongestBareName, closed ? name.size() : name.size() - 1);
  for (size_t size = name.empty() ? 0 : longest; size >= 2; --size) {
    const tables::HtmlName* start = find_name(name.substr(0, size));
    if (start == nullptr || !start->bare) continue;
    append_name(out, *start);
    at += size;
    // The rest of what was taken for a name is not read again.
    const size_t taken = closed ? end + 1 : end;
    out += text.substr(at, taken - at);
    at = taken;
    return;
  }
  out += '&';
}

}  // namespace

std::string unescape_html(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = std::min(text.find('&', at), text.size());
    out += text.substr(at, begin - at);
    at = begin + 1;
    if (begin == text.size()) break;
    if (at < text.size() && text[at] == '#') {
      size_t number = at + 1;
      if (read_number(text, number, out)) {
        at = number;
      } else {
        out += '&';
      }
    } else {
      read_name(text, at, out);
    }
  }
  return out;
}

std::string strip_tags(std::string_view text) {
  std::string kept;
  size_t at = 0;
  while (true) {
    const size_t begin = text.find('<', at);
    if (begin == std::string_view::npos) break;
    const bool comment = text.substr(begin).starts_with("<!--");
    const size_t end = comment ? text.find("-->", begin + 4) : text.find('>', begin);
    if (end == std::string_view::npos) break;
    kept += text.substr(at, begin - at);
    at = end + (comment ? 3 : 1);
  }
  kept += text.substr(at);
  std::string spaced;
  for (const std::string_view word : split(kept, std::nullopt, -1)) {
    if (!spaced.empty()) spaced += ' ';
    spaced += word;
  }
  return unescape_html(spaced);
}

}  // namespace ashlar::text::jinja
