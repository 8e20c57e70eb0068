#include "ashlar/text/unicode/properties.h"

#include "ashlar/base/utf8.h"

#include <utf8proc.h>

#include <array>

namespace ashlar::text {
namespace {

struct Range {
  char32_t first, last;
};

// Property White_Space (PropList.txt).
constexpr Range kWhiteSpace[] = {
    {0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
    {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};

// Other_Alphabetic characters that are neither letters nor marks: circled and squared letters.
constexpr Range kAlphabeticSymbols[] = {
    {0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};

constexpr CategorySet kWordCategories = kLetters | kMarks | category_bit(Category::kNd) |
                                        category_bit(Category::kNl) | category_bit(Category::kPc);

constexpr std::array<std::string_view, 30> kNames = {
    "Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps",
    "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"};
static_assert(static_cast<int>(Category::kNd) == UTF8PROC_CATEGORY_ND);
static_assert(static_cast<int>(Category::kCo) == UTF8PROC_CATEGORY_CO);

}  // namespace

CategorySet category_set(std::string_view name) {
  CategorySet set = 0;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name || (name.size() == 1 && kNames[i][0] == name[0])) {
      set |= CategorySet{1} << i;
    }
  }
  return set;
}

const CharTable& CharTable::get() {
  static const CharTable table;
  return table;
}

CharTable::CharTable() : storage_(kMaxCodePoint + 1, '\0') {
  auto* bytes = reinterpret_cast<uint8_t*>(storage_.data());
  for (char32_t c = 0; c <= kMaxCodePoint; ++c) {
    bytes[c] = static_cast<uint8_t>(utf8proc_category(static_cast<utf8proc_int32_t>(c)));
  }
  for (const CategoryRun& run : categories_since_unicode_14()) {
    for (char32_t c = run.first; c <= run.last; ++c) bytes[c] = static_cast<uint8_t>(run.category);
  }
  for (char32_t c = 0; c <= kMaxCodePoint; ++c) {
    if ((kWordCategories >> bytes[c] & 1) != 0) bytes[c] |= kWordFlag;
  }
  for (const Range& range : kAlphabeticSymbols) {
    for (char32_t c = range.first; c <= range.last; ++c) bytes[c] |= kWordFlag;
  }
  for (const Range& range : kWhiteSpace) {
    for (char32_t c = range.first; c <= range.last; ++c) bytes[c] |= kWhiteSpaceFlag;
  }
  bytes_ = bytes;
}

}  // namespace ashlar::text
