#include "ashlar/base/shown_text.h"

#include <fmt/format.h>

namespace ashlar {
namespace {

// Bytes of the UTF-8 character at the start of text; 0 where there is none.
size_t character_bytes(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t bytes = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (lead > 0xF4 || bytes > text.size()) return 0;
  for (size_t i = 1; i < bytes; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 0;
  }
  const auto second = static_cast<unsigned char>(bytes > 1 ? text[1] : '\0');
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool surrogate = lead == 0xED && second >= 0xA0;
  const bool beyond = lead == 0xF4 && second >= 0x90;
  return overlong || surrogate || beyond ? 0 : bytes;
}

bool is_control(unsigned char c) { return c < 0x20 || c == 0x7F; }

}  // namespace

std::string on_one_line(std::string_view text, size_t longest) {
  std::string shown;
  size_t at = 0;
  while (at < text.size()) {
    const size_t bytes = character_bytes(text.substr(at));
    if (at + (bytes == 0 ? 1 : bytes) > longest) return shown + "...";
    const auto first = static_cast<unsigned char>(text[at]);
    if (bytes == 0 || is_control(first)) {
      shown += fmt::format("\\x{:02x}", first);
      ++at;
    } else {
      shown += text.substr(at, bytes);
      at += bytes;
    }
  }
  return shown;
}

std::string shown_text(std::string_view text, size_t longest) {
  return "'" + on_one_line(text, longest) + "'";
}

}  // namespace ashlar
