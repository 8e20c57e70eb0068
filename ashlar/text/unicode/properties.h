// Character properties as of Unicode 16, the version that Hugging Face tokenizers splits text by:
// utf8proc's tables with the characters added since then laid over them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ashlar::text {

// In utf8proc's order. kCn: not assigned (or a surrogate).
enum class Category : uint8_t {
  kCn,
  kLu,
  kLl,
  kLt,
  kLm,
  kLo,
  kMn,
  kMc,
  kMe,
  kNd,
  kNl,
  kNo,
  kPc,
  kPd,
  kPs,
  kPe,
  kPi,
  kPf,
  kPo,
  kSm,
  kSc,
  kSk,
  kSo,
  kZs,
  kZl,
  kZp,
  kCc,
  kCf,
  kCs,
  kCo,
};

// A set of categories, one bit each.
using CategorySet = uint32_t;
constexpr CategorySet category_bit(Category category) {
  return CategorySet{1} << static_cast<unsigned>(category);
}
constexpr CategorySet categories(Category first, Category last) {
  return (category_bit(last) << 1) - category_bit(first);
}
inline constexpr CategorySet kLetters = categories(Category::kLu, Category::kLo);
inline constexpr CategorySet kMarks = categories(Category::kMn, Category::kMe);
inline constexpr CategorySet kNumbers = categories(Category::kNd, Category::kNo);
inline constexpr CategorySet kPunctuation = categories(Category::kPc, Category::kPo);
inline constexpr CategorySet kSymbols = categories(Category::kSm, Category::kSo);
inline constexpr CategorySet kSeparators = categories(Category::kZs, Category::kZp);
// The categories a \p{name} stands for ("L", "Lu", ...); 0 when the name is none.
CategorySet category_set(std::string_view name);

// One byte for each code point: its category in the low five bits and the flags below.
inline constexpr uint8_t kWhiteSpaceFlag = 0x20;  // property White_Space
inline constexpr uint8_t kWordFlag = 0x40;        // \w: Alphabetic, M, Nd, Pc
class CharTable {
 public:
  static const CharTable& get();  // built at the first call, then shared
  uint8_t operator[](char32_t c) const { return bytes_[c]; }

 private:
  CharTable();
  std::string storage_;
  const uint8_t* bytes_;
};

inline Category category(char32_t c) { return static_cast<Category>(CharTable::get()[c] & 0x1F); }
inline bool is_in(char32_t c, CategorySet set) { return (set & category_bit(category(c))) != 0; }
inline bool is_white_space(char32_t c) { return (CharTable::get()[c] & kWhiteSpaceFlag) != 0; }
inline bool is_word_char(char32_t c) { return (CharTable::get()[c] & kWordFlag) != 0; }
// \w of Unicode's own recommendation, which holds the two joiners as well.
inline bool is_word_or_joiner(char32_t c) { return is_word_char(c) || c == 0x200C || c == 0x200D; }

// Characters assigned after Unicode 14 (or whose category changed), by runs in rising order: what
// older tables, such as PCRE2's, lack.
struct CategoryRun {
  char32_t first, last;
  Category category;
};
std::span<const CategoryRun> categories_since_unicode_14();

}  // namespace ashlar::text
