#include "ashlar/text/jinja/operators.h"

#include "ashlar/text/jinja/access.h"
#include "ashlar/text/jinja/arithmetic.h"
#include "ashlar/text/jinja/comparison.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/format.h"
#include "ashlar/text/jinja/objects.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/unicode.h"

#include <algorithm>

namespace ashlar::text::jinja {
namespace {

std::string_view symbol(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSub:
      return "-";
    case BinaryOp::kMul:
      return "*";
    case BinaryOp::kDiv:
      return "/";
    case BinaryOp::kFloorDiv:
      return "//";
    case BinaryOp::kMod:
      return "%";
    case BinaryOp::kPow:
      return "**";
  }
  return "?";
}

// A markup side keeps its text, a plain one is escaped into it.
std::string as_markup(const Value& text) {
  return text.is_markup() ? text.string() : escape_html(text.string());
}

Value add_strings(Runtime& runtime, const Value& left, const Value& right) {
  runtime.pay_bytes(left.string().size() + right.string().size());
  if (!left.is_markup() && !right.is_markup()) return Value(left.string() + right.string());
  return Value::markup(as_markup(left) + as_markup(right));
}

Value add_sequences(Runtime& runtime, const Value& left, const Value& right) {
  const size_t size = left.items().size() + right.items().size();
  runtime.pay_items(size);
  runtime.step(static_cast<int64_t>(size));
  std::vector<Value> items = left.items();
  items.insert(items.end(), right.items().begin(), right.items().end());
  return left.is_tuple() ? Value::tuple(std::move(items)) : Value::list(std::move(items));
}

bool is_repeatable(const Value& value) { return value.is_string() || value.is_sequence(); }

Value repeat(Runtime& runtime, const Value& value, int64_t count) {
  const auto times = static_cast<uint64_t>(std::max<int64_t>(count, 0));
  const uint64_t size = value.is_string() ? value.string().size() : value.items().size();
  if (size > 0 && times > static_cast<uint64_t>(runtime.limits().max_bytes) / size) {
    fault("repeating a {} {} times builds more than {} bytes of values (max_bytes)",
          type_name(value), count, runtime.limits().max_bytes);
  }
  if (value.is_string()) {
    runtime.pay_bytes(size * times);
    std::string out;
    out.reserve(size * times);
    for (uint64_t i = 0; i < times && size > 0; ++i) out += value.string();
    return Value::string_like(value, std::move(out));
  }
  runtime.pay_items(size * times);
  runtime.step(static_cast<int64_t>(size * times));
  std::vector<Value> items;
  items.reserve(size * times);
  for (uint64_t i = 0; i < times && size > 0; ++i) {
    items.insert(items.end(), value.items().begin(), value.items().end());
  }
  return value.is_tuple() ? Value::tuple(std::move(items)) : Value::list(std::move(items));
}

Value apply_to_numbers(BinaryOp op, const Value& left, const Value& right) {
  switch (op) {
    case BinaryOp::kAdd:
      return add_numbers(left, right);
    case BinaryOp::kSub:
      return subtract_numbers(left, right);
    case BinaryOp::kMul:
      return multiply_numbers(left, right);
    case BinaryOp::kDiv:
      return divide_numbers(left, right);
    case BinaryOp::kFloorDiv:
      return floor_divide_numbers(left, right);
    case BinaryOp::kMod:
      return remainder_of_numbers(left, right);
    case BinaryOp::kPow:
      return power_of_numbers(left, right);
  }
  return Value();
}

}  // namespace

Value apply(Runtime& runtime, BinaryOp op, const Value& left, const Value& right) {
  if (left.is_undefined()) fault("{}", left.undefined_reason());
  if (op == BinaryOp::kMod && left.is_string()) {
    return Value::string_like(left, format_percent(runtime, left, right));
  }
  if (right.is_undefined()) fault("{}", right.undefined_reason());
  if (left.is_number() && right.is_number()) return apply_to_numbers(op, left, right);
  if (op == BinaryOp::kAdd) {
    if (left.is_string() && right.is_string()) return add_strings(runtime, left, right);
    if (left.is_sequence() && left.kind() == right.kind()) {
      return add_sequences(runtime, left, right);
    }
    if (left.is_string()) {
      fault("can only concatenate str (not \"{}\") to str", type_name(right));
    }
  }
  if (op == BinaryOp::kMul) {
    if (is_repeatable(left) && right.is_integral()) {
      return repeat(runtime, left, right.integer());
    }
    if (left.is_integral() && is_repeatable(right)) {
      return repeat(runtime, right, left.integer());
    }
  }
  fault("unsupported operand type(s) for {}: '{}' and '{}'", symbol(op), type_name(left),
        type_name(right));
}

bool compare(Runtime& runtime, CompareOp op, const Value& left, const Value& right) {
  switch (op) {
    case CompareOp::kEq:
      return equal(runtime, left, right);
    case CompareOp::kNe:
      return !equal(runtime, left, right);
    case CompareOp::kIn:
      return contains(runtime, right, left);
    case CompareOp::kNotIn:
      return !contains(runtime, right, left);
    default:
      break;
  }
  runtime.step(std::min(left.weight(), right.weight()));
  switch (op) {
    case CompareOp::kLt:
      return values_less(left, right);
    case CompareOp::kLe:
      return values_less_or_equal(left, right);
    case CompareOp::kGt:
      return values_less(right, left);
    default:
      return values_less_or_equal(right, left);
  }
}

Value negate(const Value& value) {
  if (value.is_undefined()) fault("{}", value.undefined_reason());
  if (!value.is_number()) fault("bad operand type for unary -: '{}'", type_name(value));
  if (value.is_float()) return Value(-value.number());
  return subtract_numbers(Value(0), value);
}

Value identity(const Value& value) {
  if (value.is_undefined()) fault("{}", value.undefined_reason());
  if (!value.is_number()) fault("bad operand type for unary +: '{}'", type_name(value));
  return value.is_bool() ? Value(value.integer()) : value;
}

bool equal(Runtime& runtime, const Value& left, const Value& right) {
  runtime.step(std::min(left.weight(), right.weight()));
  return values_equal(left, right);
}

bool less(Runtime& runtime, const Value& left, const Value& right) {
  return compare(runtime, CompareOp::kLt, left, right);
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  const auto is_item = [&](const Value& candidate) {
    return candidate.same_as(item) || equal(runtime, candidate, item);
  };
  switch (container.kind()) {
    case Kind::kString:
      if (!item.is_string()) {
        fault("'in <string>' requires string as left operand, not {}", type_name(item));
      }
      runtime.pay_scan(container.string().size());
      return find_bytes(container.string(), item.string()) != std::string_view::npos;
    case Kind::kDict:
      runtime.step(item.weight());
      return container.dict().find(item) != nullptr;
    case Kind::kList:
    case Kind::kTuple:
      return std::any_of(container.items().begin(), container.items().end(), is_item);
    case Kind::kUndefined:
      return false;
    case Kind::kObject:
      if (auto* iterator = dynamic_cast<Iterator*>(&container.object())) {
        while (const std::optional<Value> next = iterator->next()) {
          if (is_item(*next)) return true;
        }
        return false;
      }
      if (container.object().iterable()) {
        const std::vector<Value> items = iterate(runtime, container);
        return std::any_of(items.begin(), items.end(), is_item);
      }
      break;
    default:
      break;
  }
  fault("argument of type '{}' is not iterable", type_name(container));
}

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace ashlar::text::jinja
