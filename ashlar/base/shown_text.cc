#include "ashlar/base/shown_text.h"

#include "ashlar/base/utf8.h"

#include <fmt/format.h>

namespace ashlar {
namespace {

bool is_control(unsigned char c) { return c < 0x20 || c == 0x7F; }

}  // namespace

std::string on_one_line(std::string_view text, size_t longest) {
  std::string shown;
  size_t at = 0;
  while (at < text.size()) {
    const Utf8Sequence next = scan_utf8(text.substr(at));
    const bool whole = next.kind == Utf8Sequence::kComplete;
    const size_t bytes = whole ? next.length : 1;
    if (at + bytes > longest) return shown + "...";
    const auto first = static_cast<unsigned char>(text[at]);
    if (!whole || is_control(first)) {
      shown += fmt::format("\\x{:02x}", first);
    } else {
      shown += text.substr(at, bytes);
    }
    at += bytes;
  }
  return shown;
}

std::string shown_text(std::string_view text, size_t longest) {
  return "'" + on_one_line(text, longest) + "'";
}

}  // namespace ashlar
