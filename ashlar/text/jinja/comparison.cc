#include "ashlar/text/jinja/comparison.h"

#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/object.h"

#include <cmath>
#include <functional>
#include <string_view>

namespace ashlar::text::jinja {
namespace {

const std::vector<Value>* tuple_items(const Value& value) {
  if (value.is_tuple()) return &value.items();
  return value.is_object() ? value.object().tuple_items() : nullptr;
}

bool sequences_equal(const std::vector<Value>& left, const std::vector<Value>& right) {
  if (left.size() != right.size()) return false;
  for (size_t i = 0; i < left.size(); ++i) {
    if (!values_equal(left[i], right[i])) return false;
  }
  return true;
}

bool dicts_equal(const Dict& left, const Dict& right) {
  if (left.size() != right.size()) return false;
  for (const auto& [key, value] : left.entries()) {
    const Value* other = right.find(key);
    if (other == nullptr || !values_equal(value, *other)) return false;
  }
  return true;
}

// Exact, unlike a comparison after rounding the integer to double.
int compare_int_with_float(int64_t left, double right) {
  if (right >= 9223372036854775808.0) return -1;
  if (right < -9223372036854775808.0) return 1;
  const double floor = std::floor(right);
  const auto whole = static_cast<int64_t>(floor);
  if (left != whole) return left < whole ? -1 : 1;
  return right > floor ? -1 : 0;
}

bool numbers_equal(const Value& left, const Value& right) {
  if (left.is_float() && right.is_float()) return left.number() == right.number();
  if (left.is_float()) return numbers_equal(right, left);
  if (right.is_float()) {
    return !std::isnan(right.number()) &&
           compare_int_with_float(left.integer(), right.number()) == 0;
  }
  return left.integer() == right.integer();
}

bool numbers_less(const Value& left, const Value& right, bool or_equal) {
  if (left.is_float() && right.is_float()) {
    return or_equal ? left.number() <= right.number() : left.number() < right.number();
  }
  if (left.is_integral() && right.is_integral()) {
    return or_equal ? left.integer() <= right.integer() : left.integer() < right.integer();
  }
  const Value& real = left.is_float() ? left : right;
  if (std::isnan(real.number())) return false;
  const int order = left.is_float() ? -compare_int_with_float(right.integer(), left.number())
                                    : compare_int_with_float(left.integer(), right.number());
  return or_equal ? order <= 0 : order < 0;
}

bool less(const Value& left, const Value& right, bool or_equal);

bool sequence_less(const std::vector<Value>& left, const std::vector<Value>& right, bool or_equal) {
  for (size_t i = 0; i < left.size() && i < right.size(); ++i) {
    if (!values_equal(left[i], right[i])) return less(left[i], right[i], or_equal);
  }
  return or_equal ? left.size() <= right.size() : left.size() < right.size();
}

bool less(const Value& left, const Value& right, bool or_equal) {
  for (const Value* value : {&left, &right}) {
    if (value->is_undefined()) fault("{}", value->undefined_reason());
  }
  if (left.is_number() && right.is_number()) return numbers_less(left, right, or_equal);
  if (left.is_string() && right.is_string()) {
    // The order of UTF-8 bytes is the order of code points.
    const int order = left.string().compare(right.string());
    return or_equal ? order <= 0 : order < 0;
  }
  if (left.is_list() && right.is_list()) {
    return sequence_less(left.items(), right.items(), or_equal);
  }
  const auto* left_tuple = tuple_items(left);
  const auto* right_tuple = tuple_items(right);
  if (left_tuple != nullptr && right_tuple != nullptr) {
    return sequence_less(*left_tuple, *right_tuple, or_equal);
  }
  fault("'{}' not supported between instances of '{}' and '{}'", or_equal ? "<=" : "<",
        type_name(left), type_name(right));
}

}  // namespace

bool values_equal(const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) return numbers_equal(left, right);
  const auto* left_tuple = tuple_items(left);
  const auto* right_tuple = tuple_items(right);
  if (left_tuple != nullptr && right_tuple != nullptr) {
    return sequences_equal(*left_tuple, *right_tuple);
  }
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Kind::kNone:
    case Kind::kUndefined:
      return true;
    case Kind::kString:
      return left.string() == right.string();
    case Kind::kList:
      return sequences_equal(left.items(), right.items());
    case Kind::kDict:
      return dicts_equal(left.dict(), right.dict());
    default:
      return left.object().equals(right.object());
  }
}

bool values_less(const Value& left, const Value& right) { return less(left, right, false); }
bool values_less_or_equal(const Value& left, const Value& right) { return less(left, right, true); }

size_t hash(const Value& value) {
  if (const std::vector<Value>* items = tuple_items(value)) {
    size_t mixed = 17;
    for (const Value& item : *items) mixed = mixed * 1000003u ^ hash(item);
    return mixed;
  }
  switch (value.kind()) {
    case Kind::kNone:
      return 1;
    case Kind::kUndefined:
      return 2;
    case Kind::kBool:
    case Kind::kInt:
      return std::hash<int64_t>{}(value.integer());
    case Kind::kFloat: {
      const double number = value.number();
      if (number == std::floor(number) && std::abs(number) < 9.2e18) {
        return std::hash<int64_t>{}(static_cast<int64_t>(number));
      }
      return std::hash<double>{}(number);
    }
    case Kind::kString:
      return std::hash<std::string_view>{}(value.string());
    case Kind::kObject:
      return std::hash<const void*>{}(&value.object());
    default:
      fault("unhashable type: '{}'", type_name(value));
  }
}

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kNone:
    case Kind::kUndefined:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.integer() != 0;
    case Kind::kFloat:
      return value.number() != 0;
    case Kind::kString:
      return !value.string().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.items().empty();
    case Kind::kDict:
      return !value.dict().empty();
    case Kind::kObject:
      return value.object().truthy();
  }
  return false;
}

}  // namespace ashlar::text::jinja
