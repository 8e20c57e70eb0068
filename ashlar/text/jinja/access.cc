#include "ashlar/text/jinja/access.h"

#include "ashlar/base/utf8.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/methods.h"
#include "ashlar/text/jinja/objects.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/unicode.h"

#include <algorithm>

namespace ashlar::text::jinja {
namespace {

std::string described(const Value& value) {
  if (value.is_none()) return "None";
  return fmt::format("{} object", type_name(value));
}

Value missing(Runtime& runtime, const Value& value, const Value& key) {
  if (key.is_string()) {
    return Value::undefined(
        fmt::format("'{}' has no attribute '{}'", described(value), key.string().substr(0, 200)));
  }
  if (key.is_number()) {
    return Value::undefined(
        fmt::format("{} has no element {}", described(value), repr(runtime, key)));
  }
  return Value::undefined(
      fmt::format("{} has no element of type {}", described(value), type_name(key)));
}

// What Python's getattr(value, name) finds; nullopt for an AttributeError.
std::optional<Value> find_attribute(const Value& value, std::string_view name) {
  if (value.is_object()) {
    if (std::optional<Value> found = value.object().attribute(name)) return found;
  }
  return find_method(value, name);
}

// What value[key] gives; nullopt for a TypeError or LookupError.
std::optional<Value> find_item(Runtime& runtime, const Value& value, const Value& key) {
  if (value.is_dict()) {
    if (key.is_list() || key.is_dict()) return std::nullopt;  // not hashable
    runtime.step(key.weight());
    const Value* found = value.dict().find(key);
    return found == nullptr ? std::nullopt : std::optional<Value>(*found);
  }
  if (!key.is_integral()) return std::nullopt;
  int64_t index = key.integer();
  if (value.is_sequence()) {
    const auto size = static_cast<int64_t>(value.items().size());
    if (index < 0) index += size;
    if (index < 0 || index >= size) return std::nullopt;
    return value.items()[static_cast<size_t>(index)];
  }
  if (value.is_string()) {
    const std::string& text = value.string();
    runtime.pay_scan(text.size());
    if (index < 0) index += static_cast<int64_t>(code_points(text));
    if (index < 0) return std::nullopt;
    const size_t begin = byte_offset(text, static_cast<size_t>(index));
    if (begin >= text.size()) return std::nullopt;
    size_t end = begin;
    next_code_point(text, end);
    return Value::string_like(value, text.substr(begin, end - begin));
  }
  if (value.is_object() && value.object().subscriptable()) return value.object().element(index);
  return std::nullopt;
}

// A bound of a slice: nullopt for none, Fault for what is not an integer.
std::optional<int64_t> slice_bound(const Value& bound) {
  if (bound.is_none()) return std::nullopt;
  if (!bound.is_integral()) {
    fault("slice indices must be integers or None, found {}", type_name(bound));
  }
  return bound.integer();
}

// The positions that Python's slice(start, stop, step) selects from `length` items.
struct SlicePositions {
  int64_t first = 0, end = 0, step = 1, count = 0;
};

SlicePositions slice_positions(const Value& start, const Value& stop, const Value& step,
                               int64_t length) {
  SlicePositions slice;
  slice.step = slice_bound(step).value_or(1);
  if (slice.step == 0) fault("slice step cannot be zero");
  const bool forward = slice.step > 0;
  const int64_t low = forward ? 0 : -1, high = forward ? length : length - 1;
  const auto clamp = [&](const Value& bound, int64_t otherwise) {
    std::optional<int64_t> at = slice_bound(bound);
    if (!at) return otherwise;
    if (*at < 0) *at = *at < -length ? low : *at + length;
    return std::min(std::max(*at, low), high);
  };
  slice.first = clamp(start, forward ? low : high);
  slice.end = clamp(stop, forward ? high : low);
  if (forward ? slice.first < slice.end : slice.first > slice.end) {
    const int64_t span = forward ? slice.end - slice.first : slice.first - slice.end;
    const uint64_t stride = forward ? static_cast<uint64_t>(slice.step)
                                    : uint64_t{0} - static_cast<uint64_t>(slice.step);
    slice.count = static_cast<int64_t>((static_cast<uint64_t>(span) - 1) / stride + 1);
  }
  return slice;
}

std::string slice_text(const std::string& text, const SlicePositions& slice) {
  if (slice.count == 0) return "";
  if (slice.step == 1) {
    const size_t begin = byte_offset(text, static_cast<size_t>(slice.first));
    const size_t size =
        byte_offset(std::string_view(text).substr(begin), static_cast<size_t>(slice.count));
    return text.substr(begin, size);
  }
  std::vector<size_t> starts;
  for (size_t at = 0; at < text.size(); next_code_point(text, at)) starts.push_back(at);
  std::string out;
  for (int64_t i = 0; i < slice.count; ++i) {
    size_t at = starts[static_cast<size_t>(slice.first + i * slice.step)];
    append_utf8(out, next_code_point(text, at));
  }
  return out;
}

}  // namespace

Value get_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  if (value.is_undefined()) fault("{}", value.undefined_reason());
  if (std::optional<Value> found = find_attribute(value, name)) {
    if (name.starts_with('_')) {
      return Value::undefined(fmt::format("access to attribute '{}' of '{}' object is unsafe.",
                                          name, type_name(value)));
    }
    return *found;
  }
  const Value key(name);
  if (std::optional<Value> found = find_item(runtime, value, key)) return *found;
  return missing(runtime, value, key);
}

Value get_item(Runtime& runtime, const Value& value, const Value& key) {
  if (value.is_undefined()) fault("{}", value.undefined_reason());
  if (std::optional<Value> found = find_item(runtime, value, key)) return *found;
  if (key.is_string() && !key.string().starts_with('_')) {
    if (std::optional<Value> found = find_attribute(value, key.string())) return *found;
  }
  return missing(runtime, value, key);
}

Value get_slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop,
                const Value& step) {
  if (value.is_undefined()) fault("{}", value.undefined_reason());
  if (value.is_string()) {
    const std::string& text = value.string();
    runtime.pay_bytes(text.size());
    runtime.pay_scan(text.size());
    const auto length = static_cast<int64_t>(code_points(text));
    const SlicePositions slice = slice_positions(start, stop, step, length);
    if (slice.step != 1) runtime.pay_bytes(text.size() * sizeof(size_t));
    return Value::string_like(value, slice_text(text, slice));
  }
  if (const auto* range =
          value.is_object() ? dynamic_cast<const Range*>(&value.object()) : nullptr) {
    const SlicePositions slice = slice_positions(start, stop, step, *range->length());
    return Value(range->slice(slice.first, slice.end, slice.step));
  }
  // A group of groupby is a tuple too, whose slices are plain ones.
  const bool group = value.is_object() && value.object().tuple_items() != nullptr;
  if (!value.is_sequence() && !group) {
    fault("'{}' object can't be sliced", type_name(value));
  }
  const std::vector<Value> items = iterate(runtime, value);
  const SlicePositions slice =
      slice_positions(start, stop, step, static_cast<int64_t>(items.size()));
  std::vector<Value> selected;
  selected.reserve(static_cast<size_t>(slice.count));
  for (int64_t i = 0; i < slice.count; ++i) {
    selected.push_back(items[static_cast<size_t>(slice.first + i * slice.step)]);
  }
  return value.is_list() ? Value::list(std::move(selected)) : Value::tuple(std::move(selected));
}

std::vector<Value> iterate(Runtime& runtime, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return {};
    case Kind::kList:
    case Kind::kTuple:
      runtime.step(static_cast<int64_t>(value.items().size()));
      runtime.pay_items(value.items().size());
      return value.items();
    case Kind::kDict: {
      runtime.step(static_cast<int64_t>(value.dict().size()));
      runtime.pay_items(value.dict().size());
      std::vector<Value> keys;
      for (const auto& [key, element] : value.dict().entries()) keys.push_back(key);
      return keys;
    }
    case Kind::kString: {
      const std::string& text = value.string();
      runtime.step(static_cast<int64_t>(text.size()));
      runtime.pay_bytes(text.size() * (sizeof(Value) + 64));
      std::vector<Value> characters;
      for (size_t at = 0; at < text.size();) {
        const size_t begin = at;
        next_code_point(text, at);
        characters.emplace_back(text.substr(begin, at - begin));
      }
      return characters;
    }
    case Kind::kObject: {
      std::vector<Value> items = value.object().take_items(runtime);
      runtime.step(static_cast<int64_t>(items.size()));
      return items;
    }
    default:
      fault("'{}' object is not iterable", type_name(value));
  }
}

bool is_iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
      return true;
    case Kind::kObject:
      return value.object().iterable();
    default:
      return false;
  }
}

std::optional<int64_t> length(Runtime& runtime, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      runtime.pay_scan(value.string().size());
      return static_cast<int64_t>(code_points(value.string()));
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().size());
    case Kind::kObject:
      return value.object().length();
    default:
      return std::nullopt;
  }
}

Value call(Runtime& runtime, const Value& function, const Arguments& arguments) {
  if (function.is_undefined()) fault("{}", function.undefined_reason());
  if (!function.is_object()) fault("'{}' object is not callable", type_name(function));
  return function.object().call(runtime, arguments);
}

}  // namespace ashlar::text::jinja
