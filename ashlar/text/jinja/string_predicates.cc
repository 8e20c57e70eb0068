// The methods of str that ask what its characters are.
#include "ashlar/text/jinja/methods.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/unicode.h"

#include <algorithm>
#include <map>

namespace ashlar::text::jinja {
namespace {

// str.isalpha() and the like: all code points, and at least one, unless `empty` passes too.
template <bool (*test)(char32_t), bool empty = false>
Value all_are(Runtime& runtime, const Value& self, const Arguments& arguments) {
  expect_no_arguments("str test", arguments);
  const std::string& text = self.string();
  runtime.pay_scan(text.size());
  for (size_t at = 0; at < text.size();) {
    if (!test(next_code_point(text, at))) return Value(false);
  }
  return Value(empty || !text.empty());
}

bool is_lower_text(std::string_view text) { return is_in_case(text, false); }
bool is_upper_text(std::string_view text) { return is_in_case(text, true); }

template <bool (*test)(std::string_view)>
Value text_is(Runtime& runtime, const Value& self, const Arguments& arguments) {
  expect_no_arguments("str test", arguments);
  runtime.pay_scan(self.string().size());
  return Value(test(self.string()));
}

Value isascii(Runtime& runtime, const Value& self, const Arguments& arguments) {
  expect_no_arguments("isascii", arguments);
  runtime.pay_scan(self.string().size());
  return Value(std::all_of(self.string().begin(), self.string().end(),
                           [](unsigned char c) { return c < 0x80; }));
}

}  // namespace

Method::Body find_string_predicate(std::string_view name) {
  static const std::map<std::string_view, Method::Body> kPredicates = {
      {"isalnum", all_are<is_alnum>},
      {"isalpha", all_are<is_alpha>},
      {"isascii", isascii},
      {"isdecimal", all_are<is_decimal>},
      {"isdigit", all_are<is_digit>},
      {"islower", text_is<is_lower_text>},
      {"isnumeric", all_are<is_numeric>},
      {"isprintable", all_are<is_printable, true>},
      {"isspace", all_are<is_space>},
      {"istitle", text_is<is_titled>},
      {"isupper", text_is<is_upper_text>},
  };
  const auto found = kPredicates.find(name);
  return found == kPredicates.end() ? nullptr : found->second;
}

}  // namespace ashlar::text::jinja
