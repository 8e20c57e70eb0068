#include "ashlar/text/jinja/arithmetic.h"
#include "ashlar/text/jinja/comparison.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/filters.h"
#include "ashlar/text/jinja/methods.h"
#include "ashlar/text/jinja/object.h"
#include "ashlar/text/jinja/operators.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/runtime.h"

#include <cmath>

namespace ashlar::text::jinja {
namespace {

Value default_filter(Runtime&, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("default", arguments, {"default_value", "boolean"});
  const bool missing = value.is_undefined() || (bound.truth(1, false) && !truthy(value));
  if (!missing) return value;
  return bound.has(0) ? bound[0] : Value("");
}

Value abs_filter(Runtime&, const Value& value, const Arguments& arguments) {
  expect_no_arguments("abs", arguments);
  if (!value.is_number()) fault("bad operand type for abs(): '{}'", type_name(value));
  if (value.is_float()) return Value(std::abs(value.number()));
  return value.integer() < 0 ? negate(value) : Value(value.integer());
}

std::optional<double> as_float(const Value& value) {
  if (value.is_undefined()) fault("{}", value.undefined_reason());
  if (value.is_number()) return value.number();
  if (value.is_string()) return parse_float(value.string());
  return std::nullopt;
}

Value int_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("int", arguments, {"default", "base"});
  const Value otherwise = bound.has(0) ? bound[0] : Value(0);
  if (value.is_integral()) return Value(value.integer());
  if (value.is_string()) {
    runtime.pay_scan(value.string().size());
    if (const std::optional<int64_t> whole = parse_int(value.string(), bound.integer(1, 10))) {
      return Value(*whole);
    }
  }
  // "42.23" gives 42.
  const std::optional<double> number = as_float(value);
  if (!number || std::isnan(*number)) return otherwise;
  if (std::isinf(*number) && value.is_string()) return otherwise;
  return Value(truncate(*number));
}

Value float_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("float", arguments, {"default"});
  if (value.is_string()) runtime.pay_scan(value.string().size());
  if (const std::optional<double> number = as_float(value)) return Value(*number);
  return bound.has(0) ? bound[0] : Value(0.0);
}

// 4.1 MB, 13 kB, 102 Bytes; with `binary` of 1024, MiB and KiB.
Value file_size(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("filesizeformat", arguments, {"binary"});
  if (value.is_string()) runtime.pay_scan(value.string().size());
  const std::optional<double> bytes = as_float(value);
  if (!bytes) {
    fault("filesizeformat: {} is not a number",
          value.is_string() ? in_quotes(value.string()) : type_name(value));
  }
  const bool binary = bound.truth(0, false);
  const double base = binary ? 1024 : 1000;
  if (*bytes == 1) return Value("1 Byte");
  if (*bytes < base) {
    if (std::isinf(*bytes)) fault("cannot convert float infinity to integer");
    return Value(fmt::format("{:.0f} Bytes", std::trunc(*bytes) + 0.0));
  }
  constexpr std::string_view kPrefixes = "kMGTPEZY";
  // Exact: a long double holds 1000^9 in its 64 bits.
  long double unit = static_cast<long double>(base) * static_cast<long double>(base);
  size_t prefix = 0;
  while (prefix + 1 < kPrefixes.size() && !(static_cast<long double>(*bytes) < unit)) {
    unit *= static_cast<long double>(base);
    ++prefix;
  }
  const std::string letter(1, binary && prefix == 0 ? 'K' : kPrefixes[prefix]);
  return Value(fmt::format("{:.1f} {}{}B", base * *bytes / static_cast<double>(unit), letter,
                           binary ? "i" : ""));
}

Value round_filter(Runtime&, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("round", arguments, {"precision", "method"});
  const std::string method = bound.has(1) ? bound.string(1) : "common";
  if (method != "common" && method != "ceil" && method != "floor") {
    fault("round: method must be common, ceil or floor");
  }
  if (value.is_undefined()) fault("{}", value.undefined_reason());
  if (!value.is_number()) fault("type {} doesn't define __round__ method", type_name(value));
  const int64_t precision = bound.integer(0, 0);
  if (method == "common") return round_number(value, precision);
  const Value scale = power_of_numbers(Value(10), Value(precision));
  const Value scaled = multiply_numbers(value, scale);
  if (scaled.is_integral()) return divide_numbers(scaled, scale);
  const double whole = method == "ceil" ? std::ceil(scaled.number()) : std::floor(scaled.number());
  return divide_numbers(Value(truncate(whole)), scale);
}

// foo|attr('bar'): foo.bar without the look-up of an element.
Value attr(Runtime&, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("attr", arguments, {"name"}, 1);
  const std::string& name = bound.string(0);
  if (value.is_undefined()) fault("{}", value.undefined_reason());
  std::optional<Value> found;
  if (!name.starts_with('_')) {
    if (value.is_object()) found = value.object().attribute(name);
    if (!found) found = find_method(value, name);
  }
  return found ? *found
               : Value::undefined(
                     fmt::format("'{} object' has no attribute '{}'", type_name(value), name));
}

}  // namespace

const FilterTable& scalar_filters() {
  static const FilterTable kFilters = {
      {"abs", abs_filter},           {"attr", attr},
      {"d", default_filter},         {"default", default_filter},
      {"filesizeformat", file_size}, {"float", float_filter},
      {"int", int_filter},           {"round", round_filter},
  };
  return kFilters;
}

}  // namespace ashlar::text::jinja
