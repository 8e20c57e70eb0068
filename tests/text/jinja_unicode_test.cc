// Python's str methods over all code points, by the hashes that tests/oracles/jinja_unicode.py
// made.
#include "ashlar/base/mapped_file.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/json_input.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/text_ops.h"
#include "ashlar/text/jinja/unicode.h"
#include "tests/base/paths.h"
#include "tests/text/fnv.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace ashlar::text::jinja {
namespace {

std::string golden(const std::string& name) {
  static const Value kHashes = [] {
    const MappedFile file(test_data("chat/unicode_hashes.json"));
    return parse_json({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()},
                      "unicode_hashes.json");
  }();
  return kHashes.dict().find(name)->string();
}

void for_each_code_point(const std::function<void(char32_t)>& visit) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code < 0xD800 || code > 0xDFFF) visit(code);
  }
}

std::string utf8(char32_t code) {
  std::string text;
  append_utf8(text, code);
  return text;
}

TEST(JinjaUnicode, Conversions) {
  const std::pair<const char*, std::function<std::string(const std::string&)>> kMethods[] = {
      {"upper", to_upper},
      {"lower", to_lower},
      {"title", to_title},
      {"capitalize", to_capitalized},
      {"swapcase", to_swapped_case},
      {"casefold", to_folded},
      {"repr", in_quotes},
      {"final sigma", [](const std::string& c) { return to_lower("a" + c + "\u03a3"); }},
  };
  for (const auto& [name, method] : kMethods) {
    Fnv hash;
    for_each_code_point([&](char32_t code) { hash.add(method(utf8(code))); });
    EXPECT_EQ(hash.text(), golden(name)) << name;
  }
}

TEST(JinjaUnicode, Properties) {
  const std::pair<const char*, bool (*)(char32_t)> kTests[] = {
      {"isspace", is_space},   {"line break", is_line_break}, {"Alpha", is_alpha},
      {"Alnum", is_alnum},     {"Decimal", is_decimal},       {"Digit", is_digit},
      {"Numeric", is_numeric}, {"Upper", is_upper},           {"Lower", is_lower},
      {"Title", is_title},     {"Printable", is_printable},
  };
  for (const auto& [name, test] : kTests) {
    Fnv hash;
    for_each_code_point([&](char32_t code) { hash.add(test(code) ? "1" : "0"); });
    EXPECT_EQ(hash.text(), golden(name)) << name;
  }
}

TEST(JinjaUnicode, Utf8RoundTrip) {
  for_each_code_point([](char32_t code) {
    const std::string text = utf8(code);
    ASSERT_EQ(valid_utf8_prefix(text), text.size());
    size_t at = 0;
    ASSERT_EQ(next_code_point(text, at), code);
    ASSERT_EQ(previous_code_point(text, at), code);
    ASSERT_EQ(at, 0u);
  });
}

}  // namespace
}  // namespace ashlar::text::jinja
