#include "ashlar/text/jinja/predicates.h"

#include "ashlar/text/jinja/access.h"
#include "ashlar/text/jinja/filters.h"
#include "ashlar/text/jinja/object.h"
#include "ashlar/text/jinja/operators.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/unicode.h"

#include <map>

namespace ashlar::text::jinja {
namespace {

// A test of the value's type alone.
template <bool (*test)(const Value&)>
bool plain(Runtime&, const Value& value, const Arguments& arguments) {
  expect_no_arguments("test", arguments);
  return test(value);
}

bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_boolean(const Value& value) { return value.is_bool(); }
bool is_true(const Value& value) { return value.is_bool() && value.boolean(); }
bool is_false(const Value& value) { return value.is_bool() && !value.boolean(); }
bool is_integer(const Value& value) { return value.is_int(); }
bool is_float(const Value& value) { return value.is_float(); }
bool is_number(const Value& value) { return value.is_number(); }
bool is_string(const Value& value) { return value.is_string(); }
bool is_mapping(const Value& value) { return value.is_dict(); }
bool is_escaped(const Value& value) { return value.is_markup(); }

// Python asks for __len__ and __getitem__, which undefined has too.
bool is_sequence(const Value& value) {
  if (value.is_object()) return value.object().subscriptable() && value.object().length();
  return value.is_undefined() || value.is_string() || value.is_sequence() || value.is_dict();
}

bool is_callable(const Value& value) {
  return value.is_undefined() || (value.is_object() && value.object().callable());
}

template <bool upper>
bool in_case(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("test", arguments);
  const std::string text = str(runtime, value);
  runtime.pay_scan(text.size());
  return is_in_case(text, upper);
}

bool remainder_is(Runtime& runtime, const Value& value, const Value& divisor, int64_t remainder) {
  return equal(runtime, apply(runtime, BinaryOp::kMod, value, divisor), Value(remainder));
}

bool odd(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("odd", arguments);
  return remainder_is(runtime, value, Value(2), 1);
}

bool even(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("even", arguments);
  return remainder_is(runtime, value, Value(2), 0);
}

bool divisible_by(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("divisibleby", arguments, {"num"}, 1);
  return remainder_is(runtime, value, bound[0], 0);
}

template <CompareOp op>
bool compares(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("test", arguments, {"other"}, 1);
  return compare(runtime, op, value, bound[0]);
}

bool same_as(Runtime&, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("sameas", arguments, {"other"}, 1);
  return value.same_as(bound[0]);
}

bool is_filter(Runtime&, const Value& value, const Arguments& arguments) {
  expect_no_arguments("filter", arguments);
  return value.is_string() && find_filter(value.string()) != nullptr;
}

bool is_test(Runtime&, const Value& value, const Arguments& arguments) {
  expect_no_arguments("test", arguments);
  return value.is_string() && find_predicate(value.string()) != nullptr;
}

}  // namespace

Predicate find_predicate(std::string_view name) {
  static const std::map<std::string_view, Predicate> kPredicates = {
      {"!=", compares<CompareOp::kNe>},
      {"<", compares<CompareOp::kLt>},
      {"<=", compares<CompareOp::kLe>},
      {"==", compares<CompareOp::kEq>},
      {">", compares<CompareOp::kGt>},
      {">=", compares<CompareOp::kGe>},
      {"boolean", plain<is_boolean>},
      {"callable", plain<is_callable>},
      {"defined", plain<is_defined>},
      {"divisibleby", divisible_by},
      {"eq", compares<CompareOp::kEq>},
      {"equalto", compares<CompareOp::kEq>},
      {"escaped", plain<is_escaped>},
      {"even", even},
      {"false", plain<is_false>},
      {"filter", is_filter},
      {"float", plain<is_float>},
      {"ge", compares<CompareOp::kGe>},
      {"greaterthan", compares<CompareOp::kGt>},
      {"gt", compares<CompareOp::kGt>},
      {"in", compares<CompareOp::kIn>},
      {"integer", plain<is_integer>},
      {"iterable", plain<is_iterable>},
      {"le", compares<CompareOp::kLe>},
      {"lessthan", compares<CompareOp::kLt>},
      {"lower", in_case<false>},
      {"lt", compares<CompareOp::kLt>},
      {"mapping", plain<is_mapping>},
      {"ne", compares<CompareOp::kNe>},
      {"none", plain<is_none>},
      {"number", plain<is_number>},
      {"odd", odd},
      {"sameas", same_as},
      {"sequence", plain<is_sequence>},
      {"string", plain<is_string>},
      {"test", is_test},
      {"true", plain<is_true>},
      {"undefined", plain<is_undefined>},
      {"upper", in_case<true>},
  };
  const auto found = kPredicates.find(name);
  return found == kPredicates.end() ? nullptr : found->second;
}

}  // namespace ashlar::text::jinja
