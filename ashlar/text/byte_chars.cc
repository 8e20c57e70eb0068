#include "ashlar/text/byte_chars.h"

#include "ashlar/base/utf8.h"

#include <array>

namespace ashlar::text {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr char32_t kFirstExtra = 0x100;
constexpr int kExtras = 68;  // bytes that do not stand for themselves

constexpr auto kChars = [] {
  std::array<char32_t, 256> chars{};
  char32_t extra = kFirstExtra;
  for (unsigned byte = 0; byte < 256; ++byte) {
    chars[byte] = stands_for_itself(byte) ? byte : extra++;
  }
  return chars;
}();

constexpr auto kBytes = [] {
  std::array<int16_t, kFirstExtra + kExtras> bytes{};
  for (auto& byte : bytes) byte = -1;
  for (unsigned byte = 0; byte < 256; ++byte) bytes[kChars[byte]] = static_cast<int16_t>(byte);
  return bytes;
}();

}  // namespace

char32_t byte_char(uint8_t byte) { return kChars[byte]; }

int char_byte(char32_t c) { return c < kBytes.size() ? kBytes[c] : -1; }

void append_byte_chars(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) append_utf8(out, kChars[static_cast<uint8_t>(byte)]);
}

}  // namespace ashlar::text
