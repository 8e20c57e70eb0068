#include "ashlar/text/jinja/text_ops.h"

#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/unicode.h"

#include <algorithm>

namespace ashlar::text::jinja {
namespace {

bool is_stripped(char32_t code, std::optional<std::string_view> characters) {
  if (!characters) return is_space(code);
  for (size_t at = 0; at < characters->size();) {
    if (next_code_point(*characters, at) == code) return true;
  }
  return false;
}

std::vector<std::string_view> split_at_spaces(std::string_view text, int64_t max_splits) {
  std::vector<std::string_view> parts;
  while (true) {
    text = strip(text, std::nullopt, Side::kLeft);
    if (text.empty()) return parts;
    if (max_splits >= 0 && static_cast<int64_t>(parts.size()) >= max_splits) break;
    size_t at = 0, end = 0;
    while (end < text.size() && !is_space(next_code_point(text, at))) end = at;
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string_view> split_at_spaces_from_right(std::string_view text,
                                                         int64_t max_splits) {
  std::vector<std::string_view> parts;
  while (true) {
    text = strip(text, std::nullopt, Side::kRight);
    if (text.empty()) break;
    if (static_cast<int64_t>(parts.size()) >= max_splits) {
      parts.push_back(text);
      break;
    }
    size_t at = text.size(), begin = text.size();
    while (begin > 0 && !is_space(previous_code_point(text, at))) begin = at;
    parts.push_back(text.substr(begin));
    text = text.substr(0, begin);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace

std::string_view strip(std::string_view text, std::optional<std::string_view> characters,
                       Side side) {
  while (side != Side::kRight && !text.empty()) {
    size_t at = 0;
    if (!is_stripped(next_code_point(text, at), characters)) break;
    text.remove_prefix(at);
  }
  while (side != Side::kLeft && !text.empty()) {
    size_t at = text.size();
    if (!is_stripped(previous_code_point(text, at), characters)) break;
    text = text.substr(0, at);
  }
  return text;
}

std::vector<std::string_view> split(std::string_view text,
                                    std::optional<std::string_view> separator, int64_t max_splits) {
  if (!separator) return split_at_spaces(text, max_splits);
  if (separator->empty()) fault("empty separator");
  std::vector<std::string_view> parts;
  size_t begin = 0;
  while (max_splits < 0 || static_cast<int64_t>(parts.size()) < max_splits) {
    const size_t found = find_bytes(text, *separator, begin);
    if (found == text.npos) break;
    parts.push_back(text.substr(begin, found - begin));
    begin = found + separator->size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::vector<std::string_view> split_from_right(std::string_view text,
                                               std::optional<std::string_view> separator,
                                               int64_t max_splits) {
  if (max_splits < 0) return split(text, separator, max_splits);
  if (!separator) return split_at_spaces_from_right(text, max_splits);
  if (separator->empty()) fault("empty separator");
  std::vector<std::string_view> parts;
  size_t end = text.size();
  while (static_cast<int64_t>(parts.size()) < max_splits && end >= separator->size()) {
    const size_t found = text.rfind(*separator, end - separator->size());
    if (found == text.npos) break;
    parts.push_back(text.substr(found + separator->size(), end - found - separator->size()));
    end = found;
  }
  parts.push_back(text.substr(0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0, at = 0;
  while (at < text.size()) {
    const size_t end = at;
    const char32_t code = next_code_point(text, at);
    if (!is_line_break(code)) continue;
    if (code == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string replace(Runtime& runtime, std::string_view text, std::string_view from,
                    std::string_view to, int64_t count) {
  runtime.pay_scan(text.size());
  std::string out;
  const auto append = [&](std::string_view piece) {
    runtime.pay_bytes(piece.size());
    out += piece;
  };
  size_t begin = 0;
  for (int64_t done = 0; count < 0 || done < count; ++done) {
    if (from.empty()) {
      // Before every code point, and at the end.
      append(to);
      if (begin == text.size()) return out;
      size_t next = begin;
      next_code_point(text, next);
      append(text.substr(begin, next - begin));
      begin = next;
      continue;
    }
    const size_t found = find_bytes(text, from, begin);
    if (found == text.npos) break;
    append(text.substr(begin, found - begin));
    append(to);
    begin = found + from.size();
  }
  append(text.substr(begin));
  return out;
}

int64_t count_matches(std::string_view text, std::string_view needle) {
  if (needle.empty()) return static_cast<int64_t>(code_points(text)) + 1;
  int64_t count = 0;
  for (size_t at = 0; (at = find_bytes(text, needle, at)) != text.npos; at += needle.size()) {
    ++count;
  }
  return count;
}

std::string justify(Runtime& runtime, std::string_view text, int64_t width, std::string_view fill,
                    Side side) {
  if (code_points(fill) != 1) fault("The fill character must be exactly one character long");
  const auto size = static_cast<int64_t>(code_points(text));
  const int64_t missing = std::max<int64_t>(width - size, 0);
  runtime.pay_bytes(text.size());
  if (missing > runtime.limits().max_bytes) fault("width {} is too large", width);
  runtime.pay_bytes(static_cast<uint64_t>(missing) * fill.size());
  int64_t left = 0;
  if (side == Side::kRight) left = missing;
  if (side == Side::kBoth) left = missing / 2 + (missing & width & 1);
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (int64_t i = left; i < missing; ++i) out += fill;
  return out;
}

}  // namespace ashlar::text::jinja
