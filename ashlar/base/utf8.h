// UTF-8: decoding, encoding, validation and repair. Well-formedness is Unicode's (no surrogates, no
// overlong forms, at most U+10FFFF); an ill-formed byte run is cut into maximal subparts, each of
// which reads as one U+FFFD (Unicode 15, section 3.9, "Substitution of Maximal Subparts").
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ashlar {

inline constexpr char32_t kMaxCodePoint = 0x10FFFF;
inline constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";  // U+FFFD

struct DecodedChar {
  char32_t value;
  uint32_t length;  // in bytes, 1 to 4
};

// Length in bytes of the character that starts with `lead`, a lead byte of well-formed UTF-8.
inline uint32_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// The character at p, inside well-formed text.
inline DecodedChar decode_utf8(const char* p) {
  const auto byte = [p](int i) { return static_cast<char32_t>(static_cast<unsigned char>(p[i])); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F),
          4};
}

// Start of the last character before p; p > begin, well-formed text.
inline const char* previous_utf8(const char* p) {
  do --p;
  while ((static_cast<unsigned char>(*p) & 0xC0) == 0x80);
  return p;
}

void append_utf8(std::string& out, char32_t value);

// What stands at the start of a byte string.
struct Utf8Sequence {
  enum Kind {
    kComplete,
    kTruncated,
    kInvalid
  } kind;         // kTruncated: well-formed so far, then the end
  size_t length;  // of the character, of its first part, or of the maximal ill-formed subpart
};
Utf8Sequence scan_utf8(std::string_view bytes);  // bytes is not empty

// Bytes before the first ill-formed (or truncated) sequence; bytes.size() when all is well.
size_t valid_utf8_prefix(std::string_view bytes);

// Appends bytes with each maximal ill-formed subpart replaced by U+FFFD.
void append_repaired_utf8(std::string& out, std::string_view bytes);

}  // namespace ashlar
