// PCRE2's tables are those of an older Unicode, its \s holds U+180E, and its \w leaves out marks.
// So the shorthands are written out: \p{L} becomes \p{L} and the letters added since.
#include "ashlar/text/regex.h"
#include "ashlar/text/unicode/properties.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace ashlar::text {
namespace {

constexpr std::string_view kSpaceSet =
    R"(\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
constexpr std::string_view kNonSpaceSet =
    R"(\x{0}-\x{8}\x{E}-\x{1F}!-\x{84}\x{86}-\x{9F}\x{A1}-\x{167F}\x{1681}-\x{1FFF})"
    R"(\x{200B}-\x{2027}\x{202A}-\x{202E}\x{2030}-\x{205E}\x{2060}-\x{2FFF}\x{3001}-\x{10FFFF})";
constexpr std::string_view kAlphabeticSymbols =
    R"(\p{Nl}\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189})";

// The inside of a character class for the categories named, with the newer characters.
std::string property_set(std::string_view name, CategorySet set) {
  std::string out = fmt::format("\\p{{{}}}", name);
  for (const CategoryRun& run : categories_since_unicode_14()) {
    if ((set & category_bit(run.category)) == 0) continue;
    out += fmt::format("\\x{{{:X}}}-\\x{{{:X}}}", static_cast<uint32_t>(run.first),
                       static_cast<uint32_t>(run.last));
  }
  return out;
}

std::string property_set(std::string_view name) { return property_set(name, category_set(name)); }

struct Shorthand {
  size_t length = 0;  // in the pattern; 0: none stands here
  bool negated = false;
  std::string set;
};

Shorthand shorthand_at(std::string_view pattern, size_t at) {
  if (pattern[at] != '\\' || at + 1 >= pattern.size()) return {};
  const char letter = pattern[at + 1];
  switch (letter) {
    case 's':
    case 'S':
      return {2, letter == 'S', std::string(kSpaceSet)};
    case 'd':
    case 'D':
      return {2, letter == 'D', property_set("Nd")};
    case 'w':
    case 'W':
      return {2, letter == 'W',
              property_set("L") + property_set("M") + property_set("Nd") + property_set("Pc") +
                  std::string(kAlphabeticSymbols)};
    case 'p':
    case 'P':
      break;
    default:
      return {};
  }
  std::string_view rest = pattern.substr(at + 2);
  bool negated = letter == 'P';
  std::string_view name = rest.substr(0, 1);
  size_t length = 3;
  if (rest.starts_with('{')) {
    const size_t close = rest.find('}');
    if (close == std::string_view::npos) return {};
    name = rest.substr(1, close - 1);
    length = close + 3;
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
  }
  const CategorySet set = category_set(name);
  if (set == 0) return {};  // a script or another property: PCRE2's own
  return {length, negated, property_set(name, set)};
}

}  // namespace

std::string mend_pattern(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size();) {
    const Shorthand shorthand = shorthand_at(pattern, i);
    if (shorthand.length > 0 && !in_class) {
      out += (shorthand.negated ? "[^" : "[") + shorthand.set + "]";
      i += shorthand.length;
    } else if (shorthand.length > 0 && !shorthand.negated) {
      out += shorthand.set;
      i += shorthand.length;
    } else if (pattern.substr(i).starts_with("\\S")) {
      out += kNonSpaceSet;
      i += shorthand.length;
    } else if (pattern[i] == '\\' && i + 1 < pattern.size()) {
      // Another negated shorthand inside a class would be too long a list; PCRE2's own set stands.
      out += pattern.substr(i, 2);
      i += 2;
    } else {
      if (pattern[i] == '[' && !in_class) {
        in_class = true;
        out += pattern[i++];
        if (i < pattern.size() && pattern[i] == '^') out += pattern[i++];
        if (i < pattern.size() && pattern[i] == ']') out += pattern[i++];  // a literal ]
        continue;
      }
      if (pattern[i] == ']') in_class = false;
      out += pattern[i++];
    }
  }
  return out;
}

}  // namespace ashlar::text
