#include "tests/text/random_text.h"

#include "ashlar/base/utf8.h"

namespace ashlar::text {
namespace {

constexpr std::u32string_view kTricky =
    U" \n\r\t\v\f.,!?'_-sStTmMdDrReEvVlL0123456789abcxyz\u0085\u00A0\u00AD\u00B2\u00BD\u00C0\u00DF"
    U"\u017F\u0130\u0131\u0301\u0345\u0663\u06F4\u1680\u180E\u1E9E\u2003\u200B\u200D\u2028\u202F"
    U"\u205F\u2167\u2460\u24B6\u2581\u3000\u4E2D\u65E5\uAC00\uFB01\uFEFF\uFFFD\U0001F642\U0001F469"
    U"\U0001F3FD\U00010400\U000E0001\U0010FFFF\U00031350\u1C89\u2212\u212A";

constexpr std::string_view kSnippets[] = {
    "'s",   "'S",     "'ll", "'LL",        "'Re",   "'ve ",          "'t'd",
    "  ",   "\r\n",   " \n", "\n\n ",      "\t\t ", "   x",          "1234567",
    "aaaa", "!!\n\n", " ?!", "the quick ", "<s>",   "<|endoftext|>", "\xE2\x96\x81"};

}  // namespace

char32_t RandomText::any_char() {
  const auto c = static_cast<char32_t>(below(kMaxCodePoint + 1 - 0x800));
  return c < 0xD800 ? c : c + 0x800;
}

std::string RandomText::text(uint64_t max_chars) {
  std::string out;
  for (uint64_t left = below(max_chars + 1); left > 0; --left) {
    switch (below(8)) {
      case 0:
        out += kSnippets[below(std::size(kSnippets))];
        break;
      case 1:
        append_utf8(out, any_char());
        break;
      case 2:
        append_utf8(out, static_cast<char32_t>(0x20 + below(0x3000)));
        break;
      default:
        append_utf8(out, kTricky[below(kTricky.size())]);
    }
  }
  return out;
}

std::string RandomText::bytes(uint64_t max_length) {
  std::string out;
  while (out.size() < max_length && below(16) > 0) {
    std::string piece = text(4);
    if (below(2) == 0 && !piece.empty()) piece.resize(below(piece.size()) + 1);
    out += piece;
    if (below(4) == 0) out.push_back(static_cast<char>(below(256)));
  }
  return out;
}

}  // namespace ashlar::text
