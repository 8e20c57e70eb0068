#include "ashlar/text/pre_tokenizers/word_patterns.h"

#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/unicode/properties.h"

#include <array>

namespace ashlar::text {
namespace {

constexpr std::string_view kRegexes[] = {
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
};

enum Kind : uint8_t { kOther, kLetter, kNumber, kSpace };

Kind kind_of(char32_t c) {
  const uint8_t entry = CharTable::get()[c];
  if ((entry & kWhiteSpaceFlag) != 0) return kSpace;
  const CategorySet bit = CategorySet{1} << (entry & 0x1F);
  return (bit & kLetters) != 0 ? kLetter : (bit & kNumbers) != 0 ? kNumber : kOther;
}

const std::array<Kind, 128>& ascii_kinds() {
  static const auto kinds = [] {
    std::array<Kind, 128> table{};
    for (char32_t c = 0; c < 128; ++c) table[c] = kind_of(c);
    return table;
  }();
  return kinds;
}

// A place in the text, knowing the kind of the character there.
class Cursor {
 public:
  Cursor(const char* at, const char* end) : at_(at), end_(end), ascii_(ascii_kinds().data()) {
    look();
  }

  const char* at() const { return at_; }
  bool done() const { return at_ == end_; }
  bool is(Kind kind) const { return !done() && kind_ == kind; }
  bool is_line_break() const { return !done() && (*at_ == '\n' || *at_ == '\r'); }
  void next() {
    at_ += length_;
    look();
  }
  void skip(Kind kind) {
    while (is(kind)) next();
  }

 private:
  void look() {
    if (at_ == end_) return;
    const auto lead = static_cast<unsigned char>(*at_);
    if (lead < 0x80) {
      kind_ = ascii_[lead];
      length_ = 1;
    } else {
      const DecodedChar c = decode_utf8(at_);
      kind_ = kind_of(c.value);
      length_ = c.length;
    }
  }

  const char* at_;
  const char* end_;
  const Kind* ascii_;
  Kind kind_ = kOther;
  uint32_t length_ = 0;
};

// 's 't 're 've 'm 'll 'd; 0 when none stands here. Without regard to case, U+017F is an s too.
size_t match_contraction(std::string_view text, bool any_case) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const auto letter = [&](size_t i) -> char {
    if (i >= text.size()) return '\0';
    const char c = text[i];
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  switch (letter(1)) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    case 'r':
    case 'v':
      return letter(2) == 'e' ? 3 : 0;
    case 'l':
      return letter(2) == 'l' ? 3 : 0;
    default:
      return any_case && text.substr(1).starts_with("\xC5\xBF") ? 3 : 0;
  }
}

// \s+(?!\S)|\s+ : a run of white space, less its last character when something follows that run.
const char* match_spaces(Cursor cursor) {
  const char* const begin = cursor.at();
  const char* last = begin;
  while (cursor.is(kSpace)) {
    last = cursor.at();
    cursor.next();
  }
  return cursor.done() || last == begin ? cursor.at() : last;
}

size_t match_gpt2(std::string_view text) {
  if (const size_t length = match_contraction(text, false)) return length;
  Cursor cursor(text.data(), text.data() + text.size());
  const Cursor start = cursor;
  if (text[0] == ' ') cursor.next();
  if (!cursor.done() && !cursor.is(kSpace)) {
    const Kind kind = cursor.is(kLetter) ? kLetter : cursor.is(kNumber) ? kNumber : kOther;
    cursor.skip(kind);
    return static_cast<size_t>(cursor.at() - text.data());
  }
  return static_cast<size_t>(match_spaces(start) - text.data());
}

// Llama 3's pattern, and Qwen 2's, which takes digits one by one.
size_t match_llama3(std::string_view text, int max_digits) {
  if (const size_t length = match_contraction(text, true)) return length;
  Cursor cursor(text.data(), text.data() + text.size());
  const Cursor start = cursor;
  const auto length = [&text](const char* end) { return static_cast<size_t>(end - text.data()); };

  if (cursor.is(kNumber)) {
    for (int i = 0; i < max_digits && cursor.is(kNumber); ++i) cursor.next();
    return length(cursor.at());
  }
  // [^\r\n\p{L}\p{N}]?\p{L}+
  if (!cursor.is(kLetter) && !cursor.is_line_break()) cursor.next();
  if (cursor.is(kLetter)) {
    cursor.skip(kLetter);
    return length(cursor.at());
  }
  //  ?[^\s\p{L}\p{N}]+[\r\n]*
  cursor = start;
  if (text[0] == ' ') cursor.next();
  if (cursor.is(kOther)) {
    cursor.skip(kOther);
    while (cursor.is_line_break()) cursor.next();
    return length(cursor.at());
  }
  // \s*[\r\n]+ : the run of white space up to its last line break.
  const char* after_break = nullptr;
  for (cursor = start; cursor.is(kSpace);) {
    const bool is_break = cursor.is_line_break();
    cursor.next();
    if (is_break) after_break = cursor.at();
  }
  return length(after_break != nullptr ? after_break : match_spaces(start));
}

}  // namespace

std::string_view regex_of(WordPattern pattern) { return kRegexes[static_cast<int>(pattern)]; }

std::optional<WordPattern> word_pattern_from_regex(std::string_view regex) {
  for (int i = 0; i < 3; ++i) {
    if (kRegexes[i] == regex) return static_cast<WordPattern>(i);
  }
  return std::nullopt;
}

size_t match_word(WordPattern pattern, std::string_view text) {
  ASHLAR_DCHECK(!text.empty());
  switch (pattern) {
    case WordPattern::kGpt2:
      return match_gpt2(text);
    case WordPattern::kLlama3:
      return match_llama3(text, 3);
    case WordPattern::kQwen2:
      return match_llama3(text, 1);
  }
  return text.size();
}

}  // namespace ashlar::text
