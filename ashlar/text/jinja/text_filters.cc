#include "ashlar/text/jinja/access.h"
#include "ashlar/text/jinja/comparison.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/filters.h"
#include "ashlar/text/jinja/format.h"
#include "ashlar/text/jinja/item_path.h"
#include "ashlar/text/jinja/operators.h"
#include "ashlar/text/jinja/pretty_print.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/text_ops.h"
#include "ashlar/text/jinja/tojson.h"
#include "ashlar/text/jinja/unicode.h"
#include "ashlar/text/jinja/word_wrap.h"

#include <algorithm>
#include <utility>

namespace ashlar::text::jinja {
namespace {

// A string stays as it is (markup too), all else becomes its text.
Value soft_string(Runtime& runtime, const Value& value) {
  return value.is_string() ? value : Value(str(runtime, value));
}

template <std::string (*convert)(std::string_view)>
Value converted(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("filter", arguments);
  const Value text = soft_string(runtime, value);
  runtime.pay_bytes(3 * text.string().size());
  runtime.pay_scan(text.string().size());
  return Value::string_like(text, convert(text.string()));
}

// Unlike str.title(), words begin only after spaces and - ( { [ <.
std::string title_words(std::string_view text) {
  const auto is_delimiter = [](char32_t code) {
    return is_space(code) || code == '-' || code == '(' || code == '{' || code == '[' ||
           code == '<';
  };
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const bool delimiter = is_delimiter(next_code_point(text, at));
    const size_t first_end = at;
    for (size_t next = at; next < text.size(); at = next) {
      if (is_delimiter(next_code_point(text, next)) != delimiter) break;
    }
    out += to_upper(text.substr(begin, first_end - begin));
    out += to_lower(text.substr(first_end, at - first_end));
  }
  return out;
}

Value trim(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("trim", arguments, {"chars"});
  const Value text = soft_string(runtime, value);
  std::optional<std::string_view> characters;
  if (bound.has_not_none(0)) characters = bound.string(0);
  runtime.pay_scan(text.string().size() * (characters ? characters->size() + 1 : 1));
  runtime.pay_bytes(text.string().size());
  return Value::string_like(text, std::string(strip(text.string(), characters, Side::kBoth)));
}

Value replace_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("replace", arguments, {"old", "new", "count"}, 2);
  return Value(replace(runtime, str(runtime, value), str(runtime, bound[0]), str(runtime, bound[1]),
                       bound.has_not_none(2) ? bound.integer(2) : -1));
}

Value join(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("join", arguments, {"d", "attribute"});
  const std::string separator = bound.has(0) ? str(runtime, bound[0]) : "";
  const bool by_attribute = bound.has_not_none(1);
  const ItemPath path = by_attribute ? ItemPath(bound[1]) : ItemPath();
  std::string out;
  bool first = true;
  for (const Value& item : iterate(runtime, value)) {
    const std::string text = str(runtime, path.follow(runtime, item));
    runtime.pay_bytes(text.size() + separator.size());
    if (!first) out += separator;
    out += text;
    first = false;
  }
  return Value(std::move(out));
}

Value format_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    fault("format: can't handle positional and keyword arguments at the same time");
  }
  const Value text = soft_string(runtime, value);
  if (arguments.named.empty()) {
    return Value::string_like(text,
                              format_percent(runtime, text, Value::tuple(arguments.positional)));
  }
  Dict named;
  for (const auto& [name, argument] : arguments.named) named.set(Value(name), argument);
  return Value::string_like(text, format_percent(runtime, text, Value(std::move(named))));
}

Value indent(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("indent", arguments, {"width", "first", "blank"});
  if (value.is_undefined()) fault("{}", value.undefined_reason());
  if (!value.is_string()) fault("indent: value is a {}, wanted a str", type_name(value));
  std::string indention;
  if (bound.has(0) && bound[0].is_string()) {
    indention = bound[0].string();
  } else {
    const int64_t width = bound.integer(0, 4);
    if (width > runtime.limits().max_bytes) fault("indent: width {} is too large", width);
    runtime.pay_bytes(static_cast<uint64_t>(std::max<int64_t>(width, 0)));
    indention.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool first = bound.truth(1, false), blank = bound.truth(2, false);
  runtime.pay_scan(value.string().size());
  const std::string text = value.string() + "\n";
  const std::vector<std::string_view> lines = split_lines(text, false);
  std::string out;
  for (size_t i = 0; i < lines.size(); ++i) {
    runtime.pay_bytes(lines[i].size() + indention.size() + 1);
    if (i > 0) out += '\n';
    if (i == 0 ? first : blank || !lines[i].empty()) out += indention;
    out += lines[i];
  }
  return Value::string_like(value, std::move(out));
}

Value string_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("string", arguments);
  return soft_string(runtime, value);
}

Value safe(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("safe", arguments);
  return value.is_markup() ? value : Value::markup(str(runtime, value));
}

Value escape(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("escape", arguments);
  if (value.is_markup()) return value;
  const std::string text = str(runtime, value);
  runtime.pay_bytes(5 * text.size());
  return Value::markup(escape_html(text));
}

Value force_escape(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("forceescape", arguments);
  return escape(runtime, Value(str(runtime, value)), arguments);
}

Value word_count(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("wordcount", arguments);
  const std::string text = str(runtime, value);
  runtime.pay_scan(text.size());
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t code = next_code_point(text, at);
    const bool word = code == '_' || is_alnum(code);
    if (word && !inside) ++words;
    inside = word;
  }
  return Value(words);
}

Value center(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("center", arguments, {"width"});
  const Value text = soft_string(runtime, value);
  return Value::string_like(
      text, justify(runtime, text.string(), bound.integer(0, 80), " ", Side::kBoth));
}

Value truncate_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const int64_t limit = bound.integer(0, 255);
  const std::string end = bound.has(2) ? bound.string(2) : "...";
  const int64_t leeway = bound.has_not_none(3) ? bound.integer(3) : 5;
  const auto end_length = static_cast<int64_t>(code_points(end));
  if (limit < end_length) fault("truncate: expected length >= {}, got {}", end_length, limit);
  if (leeway < 0) fault("truncate: expected leeway >= 0, got {}", leeway);
  const std::optional<int64_t> size = length(runtime, value);
  if (!size) fault("object of type '{}' has no len()", type_name(value));
  if (*size - limit <= leeway) return value;  // whatever it is
  if (!value.is_string()) fault("truncate: value is a {}, wanted a str", type_name(value));
  const std::string& text = value.string();
  runtime.pay_bytes(text.size());
  std::string kept = text.substr(0, byte_offset(text, static_cast<size_t>(limit - end_length)));
  if (!bound.truth(1, false)) kept = kept.substr(0, kept.rfind(' '));
  return Value::string_like(value, kept + end);
}

Value word_wrap(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("wordwrap", arguments,
                             {"width", "break_long_words", "wrapstring", "break_on_hyphens"});
  if (value.is_undefined()) fault("{}", value.undefined_reason());
  if (!value.is_string()) fault("wordwrap: value is a {}, wanted a str", type_name(value));
  const WrapStyle style = {.width = bound.integer(0, 79),
                           .break_long_words = bound.truth(1, true),
                           .break_on_hyphens = bound.truth(3, true)};
  const Value line_break = bound.has_not_none(2) ? Value(bound.string(2)) : Value("\n");
  const bool markup = bound.has_not_none(2) && bound[2].is_markup();
  const std::vector<std::string_view> lines = split_lines(value.string(), false);
  if (style.width <= 0 && !lines.empty()) fault("invalid width {} (must be > 0)", style.width);
  runtime.pay_scan(4 * value.string().size());
  std::string out;
  for (size_t i = 0; i < lines.size(); ++i) {
    runtime.pay_bytes(16 * lines[i].size());  // of its code points and their places
    bool first = i == 0;
    const std::vector<std::string_view> parts = wrap_words(lines[i], style);
    if (parts.empty() && !first) {
      runtime.pay_bytes(line_break.string().size());
      out += line_break.string();
    }
    for (const std::string_view part : parts) {
      runtime.pay_bytes(5 * part.size() + line_break.string().size());
      if (!std::exchange(first, false)) out += line_break.string();
      out += markup ? escape_html(part) : std::string(part);
    }
  }
  return markup ? Value::markup(std::move(out)) : Value(std::move(out));
}

Value pretty_print_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("pprint", arguments);
  return Value(pretty_print(runtime, value));
}

Value tojson(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("tojson", arguments,
                             {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = bound.truth(0, false);
  style.sort_keys = bound.truth(3, false);
  if (bound.has_not_none(1)) {
    if (bound[1].is_string()) {
      style.indent = bound[1].string();
    } else {
      const int64_t width = bound.integer(1);
      if (width > 1000) fault("tojson: indent {} is above 1000", width);
      style.indent = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
    }
    style.item_separator = std::string(",");
  }
  if (bound.has_not_none(2)) {
    const std::vector<Value> separators = iterate(runtime, bound[2]);
    if (separators.size() != 2 || !separators[0].is_string() || !separators[1].is_string()) {
      fault("tojson: separators must be two strings");
    }
    style.item_separator = separators[0].string();
    style.key_separator = separators[1].string();
  }
  return Value(to_json(runtime, value, style));
}

}  // namespace

const FilterTable& text_filters() {
  static const FilterTable kFilters = {
      {"capitalize", converted<to_capitalized>},
      {"center", center},
      {"e", escape},
      {"escape", escape},
      {"forceescape", force_escape},
      {"format", format_filter},
      {"indent", indent},
      {"join", join},
      {"lower", converted<to_lower>},
      {"pprint", pretty_print_filter},
      {"replace", replace_filter},
      {"safe", safe},
      {"string", string_filter},
      {"title", converted<title_words>},
      {"tojson", tojson},
      {"trim", trim},
      {"truncate", truncate_filter},
      {"upper", converted<to_upper>},
      {"wordcount", word_count},
      {"wordwrap", word_wrap},
  };
  return kFilters;
}

}  // namespace ashlar::text::jinja
