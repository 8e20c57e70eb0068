// Oniguruma's syntax in PCRE2's, where the two differ. PCRE2's tables are those of an older
// Unicode, its \s holds U+180E, its \w leaves out marks and its \h is another set, so shorthands
// are written out: \p{L} becomes \p{L} and the letters added since. What cannot be said is an
// Error.
#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/regex.h"
#include "ashlar/text/unicode/properties.h"
#include "ashlar/text/unicode/regex_tables.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ashlar::text {
namespace {

// Sets written out are long: what a hostile pattern can ask for has an end.
constexpr size_t kLongest = 1 << 20;

constexpr std::string_view kSpaceSet =
    R"(\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
constexpr std::string_view kAlphabeticSymbols =
    R"(\p{Nl}\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189})";
// Numbers that \w holds as well, though not inside of brackets.
constexpr std::string_view kWordNumbers = R"(\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})";

void append_run(std::string& out, char32_t first, char32_t last) {
  out += fmt::format("\\x{{{:X}}}", static_cast<uint32_t>(first));
  if (last > first) out += fmt::format("-\\x{{{:X}}}", static_cast<uint32_t>(last));
}

// The inside of a character class for the categories named, with the newer characters.
std::string category_class(std::string_view name) {
  std::string out = fmt::format("\\p{{{}}}", name);
  const CategorySet set = category_set(name);
  for (const CategoryRun& run : categories_since_unicode_14()) {
    if ((set & category_bit(run.category)) != 0) append_run(out, run.first, run.last);
  }
  return out;
}

// The same for a script or a derived property; nothing when the name is none.
std::string property_class(std::string_view plain) {
  std::string out;
  for (const PropertyName& name : property_names()) {
    if (name.plain == plain) out = fmt::format("\\p{{{}}}", name.pcre2);
  }
  for (const PropertyRun& run : runs_beyond_pcre2()) {
    if (run.plain == plain) append_run(out, run.first, run.last);
  }
  return out;
}

std::string word_class() {
  return category_class("L") + category_class("M") + category_class("Nd") + category_class("Pc") +
         std::string(kAlphabeticSymbols);
}

// All characters that do not pass the test: long, but exact.
template <typename Test>
std::string class_without(Test&& test) {
  std::string out;
  std::optional<char32_t> first;
  for (char32_t c = 0; c <= kMaxCodePoint + 1; ++c) {
    const bool inside = c <= kMaxCodePoint && (c < 0xD800 || c > 0xDFFF) && !test(c);
    if (inside && !first) first = c;
    if (!inside && first) append_run(out, *std::exchange(first, std::nullopt), c - 1);
  }
  return out;
}

std::string class_without(CategorySet set) {
  return class_without([set](char32_t c) { return is_in(c, set); });
}

// \b and \B by this \w: a word begins or ends here, or neither.
std::string word_boundary(bool negated) {
  const std::string word = "[" + word_class() + std::string(kWordNumbers) + "]";
  return fmt::format("(?:(?<={0})(?{1}{0})|(?<!{0})(?{2}{0}))", word, negated ? "=" : "!",
                     negated ? "!" : "=");
}

std::string_view short_name(std::string_view plain) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {{"letter", "L"},
                                                                      {"uppercaseletter", "Lu"},
                                                                      {"lowercaseletter", "Ll"},
                                                                      {"titlecaseletter", "Lt"},
                                                                      {"modifierletter", "Lm"},
                                                                      {"otherletter", "Lo"},
                                                                      {"mark", "M"},
                                                                      {"nonspacingmark", "Mn"},
                                                                      {"spacingmark", "Mc"},
                                                                      {"enclosingmark", "Me"},
                                                                      {"number", "N"},
                                                                      {"decimalnumber", "Nd"},
                                                                      {"digit", "Nd"},
                                                                      {"letternumber", "Nl"},
                                                                      {"othernumber", "No"},
                                                                      {"punctuation", "P"},
                                                                      {"punct", "P"},
                                                                      {"symbol", "S"},
                                                                      {"mathsymbol", "Sm"},
                                                                      {"currencysymbol", "Sc"},
                                                                      {"separator", "Z"},
                                                                      {"spaceseparator", "Zs"},
                                                                      {"control", "Cc"},
                                                                      {"cntrl", "Cc"},
                                                                      {"format", "Cf"},
                                                                      {"unassigned", "Cn"},
                                                                      {"other", "C"}};
  for (const auto& [name, category] : kNames) {
    if (name == plain) return category;
  }
  return {};
}

// Names are compared without case, spaces, hyphens and underscores.
std::string plain_name(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c == ' ' || c == '-' || c == '_') continue;
    plain.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
  }
  return plain;
}

struct Shorthand {
  size_t length = 0;  // in the pattern; 0: none stands here
  bool negated = false;
  std::string set{};                        // the inside of a class
  std::optional<CategorySet> categories{};  // the same, where categories say it
};

// \p{L}, \P{^Lu}, \p{Han}, ...
Shorthand property_at(std::string_view pattern, size_t at) {
  const std::string_view rest = pattern.substr(at + 2);
  if (!rest.starts_with('{')) return {};
  const size_t close = rest.find('}');
  if (close == std::string_view::npos) return {};
  std::string_view name = rest.substr(1, close - 1);
  bool negated = pattern[at + 1] == 'P';
  if (name.starts_with('^')) {
    negated = !negated;
    name.remove_prefix(1);
  }
  const std::string plain = plain_name(name);
  if (category_set(name) == 0 && !short_name(plain).empty()) name = short_name(plain);
  if (const CategorySet set = category_set(name); set != 0) {
    // Characters not assigned are not the older table's.
    const bool older = (set & category_bit(Category::kCn)) != 0;
    return {close + 3, negated, older ? class_without(~set) : category_class(name), set};
  }
  const std::string set = property_class(plain == "alpha" ? "alphabetic" : plain);
  return {set.empty() ? 0 : close + 3, negated, set};  // PCRE2's own property
}

Shorthand shorthand_at(std::string_view pattern, size_t at) {
  if (pattern[at] != '\\' || at + 1 >= pattern.size()) return {};
  const char letter = pattern[at + 1];
  switch (letter) {
    case 's':
    case 'S':
      return {2, letter == 'S', std::string(kSpaceSet)};
    case 'd':
    case 'D':
      return {2, letter == 'D', category_class("Nd"), category_set("Nd")};
    case 'h':
    case 'H':  // hexadecimal digits
      return {2, letter == 'H', "0-9A-Fa-f"};
    case 'w':
    case 'W':
      return {2, letter == 'W', word_class()};
    case 'v':
      return {2, false, R"(\x{B})"};
    case 'p':
    case 'P':
      return property_at(pattern, at);
    default:
      return {};
  }
}

// What the shorthand leaves out, for inside of brackets.
std::string outside_of(const Shorthand& shorthand, char letter) {
  if (shorthand.categories) return class_without(*shorthand.categories);
  if (letter == 'S') return class_without(is_white_space);
  if (letter == 'W') return class_without(is_word_char);
  if (letter == 'H') return R"(\x{0}-/:-@G-`g-\x{10FFFF})";
  fail("the negation of \\p{{..}} inside of brackets is known for categories only");
}

// [:alpha:] of brackets.
std::string posix_class(std::string_view name) {
  const CategorySet unseen = category_set("Cc") | category_set("Cn") | category_set("Cs");
  if (name == "alpha") return property_class("alphabetic");
  if (name == "alnum") return property_class("alphabetic") + category_class("Nd");
  if (name == "lower" || name == "upper") return property_class(std::string(name) + "case");
  if (name == "digit") return category_class("Nd");
  if (name == "punct") return category_class("P") + category_class("S");
  if (name == "space") return std::string(kSpaceSet);
  if (name == "blank") return R"(\t\p{Zs})";
  if (name == "word") return word_class();
  if (name == "cntrl") return R"(\p{Cc})";
  if (name == "xdigit") return "0-9A-Fa-f";
  if (name == "ascii") return R"(\x{0}-\x{7F})";
  if (name == "graph") {
    return class_without([&](char32_t c) { return is_white_space(c) || is_in(c, unseen); });
  }
  if (name == "print") {
    return class_without([&](char32_t c) {
      return is_in(c, unseen) || (is_white_space(c) && !is_in(c, category_set("Zs")));
    });
  }
  fail("[:{}:] is not known here", name);
}

class Mender {
 public:
  explicit Mender(std::string_view pattern) : pattern_(pattern) {}

  std::string mend() {
    while (at_ < pattern_.size()) {
      check_length();
      const size_t begin = out_.size();
      if (const Shorthand shorthand = shorthand_at(pattern_, at_); shorthand.length > 0) {
        const std::string_view more =
            pattern_[at_ + 1] == 'w' || pattern_[at_ + 1] == 'W' ? kWordNumbers : "";
        out_ += (shorthand.negated ? "[^" : "[") + shorthand.set + std::string(more) + "]";
        at_ += shorthand.length;
      } else if (pattern_[at_] == '\\' && at_ + 1 < pattern_.size()) {
        escape();
      } else if (pattern_[at_] == '[') {
        bracket();
      } else if (pattern_[at_] == '(') {
        open();
        continue;
      } else if (pattern_[at_] == ')') {
        out_ += pattern_[at_++];
        if (!open_.empty()) {
          atom_ = open_.back();
          open_.pop_back();
        }
        continue;
      } else if (pattern_[at_] == '{') {
        interval();
        continue;
      } else {
        const bool quantifier = std::string_view("*+?").find(pattern_[at_]) != std::string::npos;
        const size_t length = utf8_length(pattern_[at_]);
        out_ += pattern_.substr(at_, length);
        at_ += length;
        if (quantifier) continue;
      }
      atom_ = begin;
    }
    return std::move(out_);
  }

 private:
  void check_length() const {
    ASHLAR_CHECK(out_.size() <= kLongest, "too long: its sets written out take more than {} bytes",
                 kLongest);
  }

  // \u0390, which PCRE2 has not.
  bool code_point() {
    const std::string_view digits = pattern_.substr(at_).substr(0, 6);
    if (digits.size() < 6 || !digits.starts_with("\\u") ||
        digits.find_first_not_of("0123456789abcdefABCDEF", 2) != std::string_view::npos) {
      return false;
    }
    out_ += fmt::format("\\x{{{}}}", digits.substr(2));
    at_ += 6;
    return true;
  }

  void escape() {
    const char letter = pattern_[at_ + 1];
    if (code_point()) return;
    if (letter == 'b' || letter == 'B') {
      out_ += word_boundary(letter == 'B');
      at_ += 2;
      return;
    }
    const size_t close = pattern_.find('}', at_);
    const bool braces = pattern_.substr(at_ + 2, 1) == "{" && close != std::string_view::npos;
    const size_t length = braces ? close + 1 - at_ : 2;  // \x{1F600}
    out_ += pattern_.substr(at_, length);
    at_ += length;
  }

  // Ruby's (?m) is (?s) elsewhere.
  void open() {
    open_.push_back(out_.size());
    out_ += pattern_[at_++];
    if (pattern_.substr(at_, 1) != "?") return;
    const size_t end = pattern_.find_first_not_of("imx-", at_ + 1);
    if (end == at_ + 1 || end == std::string_view::npos) return;
    if (pattern_[end] != ')' && pattern_[end] != ':') return;
    for (; at_ < end; ++at_) out_ += pattern_[at_] == 'm' ? 's' : pattern_[at_];
  }

  // {1,3}+ repeats what is repeated, where PCRE2 would not give back.
  void interval() {
    const size_t end = pattern_.find('}', at_);
    const bool counts =
        end != std::string_view::npos && pattern_.find_first_not_of("0123456789,", at_ + 1) == end;
    if (!counts) {
      out_ += pattern_[at_++];
      return;
    }
    // {,3} is none to three, text in this PCRE2.
    if (pattern_[at_ + 1] == ',' && end > at_ + 2) {
      out_ += "{0";
      ++at_;
    }
    out_ += pattern_.substr(at_, end + 1 - at_);
    at_ = end + 1;
    if (at_ < pattern_.size() && pattern_[at_] == '+') {
      out_.insert(atom_, "(?:");
      out_ += ")+";
      ++at_;
    }
  }

  // One set of characters. Sets inside of it are merged into it; where && joins sets, or one that
  // is negated stands inside, looking ahead says the same.
  void bracket() {
    std::string outer = std::exchange(out_, {});
    outer += set();
    out_ = std::move(outer);
  }

  bool take(std::string_view text) {
    if (!pattern_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }

  // What matches one character of the set that begins here.
  std::string set() {
    ++at_;
    const bool negated = take("^");
    std::vector<std::string> joined;  // by &&: what matches a character of each
    std::vector<std::string> others;  // negated sets inside of this one
    const auto close = [&] {
      const std::string inside = std::exchange(out_, {});
      std::string any = inside.empty() ? "" : "[" + inside + "]";
      for (const std::string& other : std::exchange(others, {})) {
        any += (any.empty() ? "" : "|") + other;
      }
      joined.push_back(any.empty() ? "(?!)" : std::move(any));
    };
    if (take("]")) out_ += "\\]";  // the first is a character
    while (at_ < pattern_.size() && pattern_[at_] != ']') {
      check_length();
      if (take("&&")) {
        close();
      } else if (pattern_[at_] == '[' && !is_posix()) {
        inner_set(others);
      } else {
        set_part();
      }
    }
    if (at_ == pattern_.size()) fail("a set that begins with [ has no end");
    ++at_;
    if (joined.empty() && others.empty()) return (negated ? "[^" : "[") + out_ + "]";
    close();
    std::string all = "(?:" + joined.back() + ")";
    joined.pop_back();
    for (const std::string& other : joined) all.insert(0, "(?=" + other + ")");
    return negated ? "(?:(?!" + all + ")[\\x{0}-\\x{10FFFF}])" : "(?:" + all + ")";
  }

  bool is_posix() const {
    const std::string_view rest = pattern_.substr(at_);
    return rest.starts_with("[:") && rest.find(":]") != std::string_view::npos;
  }

  // A set inside of a set: its characters join those of the outer one, unless it says which not.
  void inner_set(std::vector<std::string>& others) {
    constexpr size_t kDeepest = 16;
    if (++depth_ > kDeepest) fail("sets inside of sets, more than {} deep", kDeepest);
    std::string outside = std::exchange(out_, {});
    std::string inner = set();
    out_ = std::move(outside);
    --depth_;
    if (inner.starts_with('[') && !inner.starts_with("[^")) {
      out_ += inner.substr(1, inner.size() - 2);
    } else {
      others.push_back(std::move(inner));
    }
  }

  // A character, a range's end or a shorthand.
  void set_part() {
    const std::string_view rest = pattern_.substr(at_);
    if (const Shorthand shorthand = shorthand_at(pattern_, at_); shorthand.length > 0) {
      out_ += shorthand.negated ? outside_of(shorthand, pattern_[at_ + 1]) : shorthand.set;
      at_ += shorthand.length;
    } else if (code_point()) {
      return;
    } else if (rest[0] == '\\' && rest.size() > 1) {
      out_ += rest.substr(0, 2);
      at_ += 2;
    } else if (is_posix()) {
      out_ += posix_class(rest.substr(2, rest.find(":]") - 2));
      at_ += rest.find(":]") + 2;
    } else {
      out_ += pattern_[at_++];
    }
  }

  std::string_view pattern_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = 0;           // where in out_ the last thing that can be repeated begins
  std::vector<size_t> open_;  // where groups begin
  size_t depth_ = 0;          // of sets inside of sets
};

}  // namespace

std::string mend_pattern(std::string_view pattern) { return Mender(pattern).mend(); }

}  // namespace ashlar::text
