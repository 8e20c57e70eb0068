#include "ashlar/text/jinja/access.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/format.h"
#include "ashlar/text/jinja/methods.h"
#include "ashlar/text/jinja/operators.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/text_ops.h"
#include "ashlar/text/jinja/unicode.h"

#include <algorithm>
#include <map>

namespace ashlar::text::jinja {
namespace {

// Part of the result of a method of `self`. Markup takes any value, as escaped text; other text
// faults for what is none.
std::string into(Runtime& runtime, const Value& self, const Value& argument,
                 std::string_view method) {
  if (argument.is_markup()) return argument.string();
  if (self.is_markup()) return escape_html(str(runtime, argument));
  if (!argument.is_string()) {
    fault("{}(): expected str instances, found {}", method, type_name(argument));
  }
  return argument.string();
}

std::optional<std::string_view> optional_text(const BoundArguments& bound, size_t i) {
  if (!bound.has_not_none(i)) return std::nullopt;
  return bound.string(i);
}

// Unlike find_bytes(), std::string::rfind may compare the needle at every position.
void pay_backward_search(Runtime& runtime, const Value& self, std::string_view needle) {
  runtime.pay_scan(self.string().size() * (needle.size() + 1));
}

Value strings(Runtime& runtime, const Value& self, const std::vector<std::string_view>& parts) {
  runtime.step(static_cast<int64_t>(parts.size()));
  runtime.pay_items(parts.size() * 4);
  runtime.pay_bytes(self.string().size());
  std::vector<Value> values;
  values.reserve(parts.size());
  for (const std::string_view part : parts) {
    values.push_back(Value::string_like(self, std::string(part)));
  }
  return Value::list(std::move(values));
}

template <std::string (*convert)(std::string_view)>
Value converted(Runtime& runtime, const Value& self, const Arguments& arguments) {
  expect_no_arguments("str method", arguments);
  runtime.pay_bytes(3 * self.string().size());
  runtime.pay_scan(self.string().size());
  return Value::string_like(self, convert(self.string()));
}

template <Side side>
Value stripped(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("strip", arguments, {"chars"});
  const std::optional<std::string_view> characters = optional_text(bound, 0);
  // Each stripped character is looked up among the given ones.
  const size_t choices = characters ? characters->size() : 1;
  runtime.pay_scan(self.string().size() * std::max<size_t>(choices, 1));
  runtime.pay_bytes(self.string().size());
  return Value::string_like(self, std::string(strip(self.string(), characters, side)));
}

template <bool from_right>
Value split_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("split", arguments, {"sep", "maxsplit"});
  runtime.pay_scan(self.string().size());
  const std::optional<std::string_view> separator = optional_text(bound, 0);
  if (from_right && separator) pay_backward_search(runtime, self, *separator);
  const int64_t max_splits = bound.integer(1, -1);
  return strings(runtime, self,
                 from_right ? split_from_right(self.string(), separator, max_splits)
                            : split(self.string(), separator, max_splits));
}

Value splitlines(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("splitlines", arguments, {"keepends"});
  runtime.pay_scan(self.string().size());
  return strings(runtime, self, split_lines(self.string(), bound.truth(0, false)));
}

template <bool from_right>
Value partition(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("partition", arguments, {"sep"}, 1);
  const std::string& separator = bound.string(0);
  if (separator.empty()) fault("empty separator");
  const std::string& text = self.string();
  runtime.pay_bytes(text.size());
  runtime.pay_scan(text.size());
  const auto part = [&](std::string piece) { return Value::string_like(self, std::move(piece)); };
  if (from_right) pay_backward_search(runtime, self, separator);
  const size_t found = from_right ? text.rfind(separator) : find_bytes(text, separator);
  if (found == text.npos) {
    return from_right ? Value::tuple({part(""), part(""), part(text)})
                      : Value::tuple({part(text), part(""), part("")});
  }
  return Value::tuple(
      {part(text.substr(0, found)), part(separator), part(text.substr(found + separator.size()))});
}

Value replace_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("replace", arguments, {"old", "new", "count"}, 2);
  const std::string to = into(runtime, self, bound[1], "replace");
  return Value::string_like(
      self, replace(runtime, self.string(), bound.string(0), to, bound.integer(2, -1)));
}

// The part of the text that str.find(sub, start, end) and the like look at, in bytes.
struct Window {
  std::string_view text;
  size_t begin = 0;   // bytes before it
  bool valid = true;  // false: start lies behind the end, nothing is found there, not even ''
};

Window window(Runtime& runtime, const Value& self, const BoundArguments& bound) {
  const std::string& text = self.string();
  runtime.pay_scan(text.size());
  if (!bound.has_not_none(1) && !bound.has_not_none(2)) return {text};
  const auto length = static_cast<int64_t>(code_points(text));
  const auto position = [&](size_t i, int64_t otherwise) {
    const int64_t at = bound.has_not_none(i) ? bound.integer(i) : otherwise;
    return std::max<int64_t>(at < 0 ? at + length : at, 0);
  };
  const int64_t start = position(1, 0), end = std::min(position(2, length), length);
  if (start > end) return {"", 0, false};
  const size_t begin = byte_offset(text, static_cast<size_t>(start));
  const size_t stop = byte_offset(text, static_cast<size_t>(end));
  return {std::string_view(text).substr(begin, stop - begin), begin, true};
}

template <bool from_right, bool must_exist>
Value find_method_of_str(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("find", arguments, {"sub", "start", "end"}, 1);
  const Window part = window(runtime, self, bound);
  const std::string& needle = bound.string(0);
  if (from_right) pay_backward_search(runtime, self, needle);
  const size_t found = !part.valid  ? std::string_view::npos
                       : from_right ? part.text.rfind(needle)
                                    : find_bytes(part.text, needle);
  if (found != std::string_view::npos) {
    return Value(static_cast<int64_t>(
        code_points(std::string_view(self.string()).substr(0, part.begin + found))));
  }
  if (must_exist) fault("substring not found");
  return Value(-1);
}

Value count_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("count", arguments, {"sub", "start", "end"}, 1);
  const Window part = window(runtime, self, bound);
  return Value(part.valid ? count_matches(part.text, bound.string(0)) : int64_t{0});
}

template <bool at_end>
Value has_affix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound(at_end ? "endswith" : "startswith", arguments,
                             {"affix", "start", "end"}, 1);
  const Window part = window(runtime, self, bound);
  const auto matches = [&](const std::string& affix) {
    return part.valid && (at_end ? part.text.ends_with(affix) : part.text.starts_with(affix));
  };
  if (!bound[0].is_tuple()) return Value(matches(bound.string(0)));
  bool any = false;
  for (const Value& affix : bound[0].items()) {
    runtime.step();
    if (!affix.is_string()) fault("tuple for startswith must only contain str");
    any = any || matches(affix.string());
  }
  return Value(any);
}

template <bool at_end>
Value remove_affix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("removeprefix", arguments, {"affix"}, 1);
  std::string_view text = self.string();
  const std::string& affix = bound.string(0);
  runtime.pay_bytes(text.size());
  if (!at_end && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (at_end && text.ends_with(affix)) text.remove_suffix(affix.size());
  return Value::string_like(self, std::string(text));
}

template <Side side>
Value justified(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("justify", arguments, {"width", "fillchar"}, 1);
  const std::string fill = bound.has(1) ? bound.string(1) : " ";
  return Value::string_like(self, justify(runtime, self.string(), bound.integer(0), fill, side));
}

Value zfill(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("zfill", arguments, {"width"}, 1);
  std::string_view text = self.string();
  const bool has_sign = text.starts_with('-') || text.starts_with('+');
  const std::string sign(text.substr(0, has_sign ? 1 : 0));
  text.remove_prefix(sign.size());
  const int64_t width = bound.integer(0) - static_cast<int64_t>(sign.size());
  return Value::string_like(self, sign + justify(runtime, text, width, "0", Side::kRight));
}

Value join_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("join", arguments, {"iterable"}, 1);
  std::string out;
  bool first = true;
  for (const Value& item : iterate(runtime, bound[0])) {
    const std::string text = into(runtime, self, item, "join");
    runtime.pay_bytes(text.size() + self.string().size());
    if (!first) out += self.string();
    out += text;
    first = false;
  }
  return Value::string_like(self, std::move(out));
}

Value format_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return Value::string_like(self, format_braces(runtime, self, arguments));
}

Value format_map(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("format_map", arguments, {"mapping"}, 1);
  if (!bound[0].is_dict()) fault("format_map(): argument is a {}", type_name(bound[0]));
  Arguments named;
  for (const auto& [key, value] : bound[0].dict().entries()) {
    if (key.is_string()) named.named.emplace_back(key.string(), value);
  }
  return Value::string_like(self, format_braces(runtime, self, named));
}

Value expandtabs(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("expandtabs", arguments, {"tabsize"});
  const int64_t size = bound.integer(0, 8);
  runtime.pay_scan(self.string().size());
  std::string out;
  int64_t column = 0;
  for (const char c : self.string()) {
    if (c == '\t') {
      const int64_t count = size > 0 ? size - column % size : 0;
      runtime.pay_bytes(static_cast<uint64_t>(count));
      out.append(static_cast<size_t>(count), ' ');
      column += count;
    } else {
      out += c;
      const bool begins_character = (static_cast<unsigned char>(c) & 0xC0) != 0x80;
      column = c == '\n' || c == '\r' ? 0 : column + (begins_character ? 1 : 0);
    }
  }
  runtime.pay_bytes(self.string().size());
  return Value::string_like(self, std::move(out));
}

}  // namespace

Method::Body find_string_method(std::string_view name) {
  static const std::map<std::string_view, Method::Body> kMethods = {
      {"capitalize", converted<to_capitalized>},
      {"casefold", converted<to_folded>},
      {"center", justified<Side::kBoth>},
      {"count", count_method},
      {"endswith", has_affix<true>},
      {"expandtabs", expandtabs},
      {"find", find_method_of_str<false, false>},
      {"format", format_method},
      {"format_map", format_map},
      {"index", find_method_of_str<false, true>},
      {"join", join_method},
      {"ljust", justified<Side::kLeft>},
      {"lower", converted<to_lower>},
      {"lstrip", stripped<Side::kLeft>},
      {"partition", partition<false>},
      {"removeprefix", remove_affix<false>},
      {"removesuffix", remove_affix<true>},
      {"replace", replace_method},
      {"rfind", find_method_of_str<true, false>},
      {"rindex", find_method_of_str<true, true>},
      {"rjust", justified<Side::kRight>},
      {"rpartition", partition<true>},
      {"rsplit", split_method<true>},
      {"rstrip", stripped<Side::kRight>},
      {"split", split_method<false>},
      {"splitlines", splitlines},
      {"startswith", has_affix<false>},
      {"strip", stripped<Side::kBoth>},
      {"swapcase", converted<to_swapped_case>},
      {"title", converted<to_title>},
      {"upper", converted<to_upper>},
      {"zfill", zfill},
  };
  const auto found = kMethods.find(name);
  return found == kMethods.end() ? find_string_predicate(name) : found->second;
}

}  // namespace ashlar::text::jinja
