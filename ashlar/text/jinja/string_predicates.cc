// The methods of str that ask what its characters are.
#include "ashlar/text/jinja/methods.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/unicode.h"

#include <algorithm>
#include <map>

namespace ashlar::text::jinja {
namespace {

// str.isalpha() and the like: all code points, and at least one.
template <bool (*test)(char32_t)>
Value all_are(Runtime& runtime, const Value& self, const Arguments& arguments) {
  expect_no_arguments("str test", arguments);
  const std::string& text = self.string();
  runtime.pay_scan(text.size());
  for (size_t at = 0; at < text.size();) {
    if (!test(next_code_point(text, at))) return Value(false);
  }
  return Value(!text.empty());
}

template <bool upper>
Value has_case(Runtime& runtime, const Value& self, const Arguments& arguments) {
  expect_no_arguments("str test", arguments);
  runtime.pay_scan(self.string().size());
  return Value(is_in_case(self.string(), upper));
}

Value istitle(Runtime& runtime, const Value& self, const Arguments& arguments) {
  expect_no_arguments("str test", arguments);
  runtime.pay_scan(self.string().size());
  return Value(is_titled(self.string()));
}

Value isprintable(Runtime& runtime, const Value& self, const Arguments& arguments) {
  expect_no_arguments("str test", arguments);
  const std::string& text = self.string();
  runtime.pay_scan(text.size());
  for (size_t at = 0; at < text.size();) {
    if (!is_printable(next_code_point(text, at))) return Value(false);
  }
  return Value(true);
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
      {"islower", has_case<false>},
      {"isnumeric", all_are<is_numeric>},
      {"isprintable", isprintable},
      {"isspace", all_are<is_space>},
      {"istitle", istitle},
      {"isupper", has_case<true>},
  };
  const auto found = kPredicates.find(name);
  return found == kPredicates.end() ? nullptr : found->second;
}

}  // namespace ashlar::text::jinja
