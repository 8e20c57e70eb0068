#include "ashlar/text/jinja/access.h"
#include "ashlar/text/jinja/comparison.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/filters.h"
#include "ashlar/text/jinja/item_path.h"
#include "ashlar/text/jinja/objects.h"
#include "ashlar/text/jinja/operators.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/unicode.h"

#include <algorithm>

namespace ashlar::text::jinja {
namespace {

bool is_one_shot(const Value& value) {
  return value.is_object() && dynamic_cast<Iterator*>(&value.object()) != nullptr;
}

Value length_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("length", arguments);
  const std::optional<int64_t> found = length(runtime, value);
  if (!found) fault("object of type '{}' has no len()", type_name(value));
  return Value(*found);
}

Value first(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("first", arguments);
  std::optional<Value> found;
  if (is_one_shot(value)) {
    found = dynamic_cast<Iterator&>(value.object()).next();
  } else {
    const std::vector<Value> items = iterate(runtime, value);
    if (!items.empty()) found = items.front();
  }
  return found ? *found : Value::undefined("No first item, sequence was empty.");
}

Value last(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("last", arguments);
  if (is_one_shot(value)) fault("'generator' object is not reversible");
  const std::vector<Value> items = iterate(runtime, value);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value list_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("list", arguments);
  return Value::list(iterate(runtime, value));
}

Value items_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("items", arguments);
  if (value.is_undefined()) return make_iterator({});
  if (!value.is_dict()) fault("items: can only get item pairs from a mapping");
  return make_iterator(DictView(value, DictView::Part::kItems).take_items(runtime));
}

Value reverse(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("reverse", arguments);
  if (value.is_string()) return get_slice(runtime, value, Value(), Value(), Value(-1));
  if (!is_iterable(value)) fault("reverse: argument must be iterable");
  std::vector<Value> items = iterate(runtime, value);
  std::reverse(items.begin(), items.end());
  return is_one_shot(value) ? Value::list(std::move(items)) : make_iterator(std::move(items));
}

Value batch(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t line = bound.integer(0);
  std::vector<Value> batches, current;
  for (const Value& item : iterate(runtime, value)) {
    if (static_cast<int64_t>(current.size()) == line) {
      batches.push_back(Value::list(std::move(current)));
      current.clear();
    }
    current.push_back(item);
  }
  if (!current.empty()) {
    const int64_t missing = line - static_cast<int64_t>(current.size());
    if (bound.has_not_none(1) && missing > 0) {
      runtime.step(missing);
      runtime.pay_items(static_cast<uint64_t>(missing));
      current.insert(current.end(), static_cast<size_t>(missing), bound[1]);
    }
    batches.push_back(Value::list(std::move(current)));
  }
  return make_iterator(std::move(batches));
}

Value slice(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("slice", arguments, {"slices", "fill_with"}, 1);
  const std::vector<Value> items = iterate(runtime, value);
  const int64_t slices = bound.integer(0);
  if (slices == 0) fault("integer division or modulo by zero");
  if (slices < 0) return make_iterator({});
  runtime.step(slices);
  runtime.pay_items(static_cast<uint64_t>(slices) * 4);
  const auto size = static_cast<int64_t>(items.size());
  const int64_t per_slice = size / slices, with_extra = size % slices;
  std::vector<Value> out;
  auto at = items.begin();
  for (int64_t i = 0; i < slices; ++i) {
    const auto end = at + (per_slice + (i < with_extra ? 1 : 0));
    std::vector<Value> column(at, end);
    if (bound.has_not_none(1) && i >= with_extra) column.push_back(bound[1]);
    out.push_back(Value::list(std::move(column)));
    at = end;
  }
  return make_iterator(std::move(out));
}

Value sum(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("sum", arguments, {"attribute", "start"});
  const ItemPath path = bound.has_not_none(0) ? ItemPath(bound[0]) : ItemPath();
  Value total = bound.has(1) ? bound[1] : Value(0);
  if (total.is_string()) fault("sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& item : iterate(runtime, value)) {
    total = apply(runtime, BinaryOp::kAdd, total, path.follow(runtime, item));
  }
  return total;
}

// One item, by the draws of the rendering: the same request gives the same text again.
Value random_item(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("random", arguments);
  const std::optional<int64_t> size = length(runtime, value);
  if (!size) fault("object of type '{}' has no len()", type_name(value));
  if (*size == 0) return Value::undefined("No random item, sequence was empty.");
  if (value.is_object() && !value.object().subscriptable()) {
    fault("'{}' object is not subscriptable", type_name(value));
  }
  const Value at(static_cast<int64_t>(runtime.draw() % static_cast<uint64_t>(*size)));
  if (value.is_dict() && value.dict().find(at) == nullptr) {
    fault("random: the dict has no key {}, wanted a sequence", at.integer());
  }
  return get_item(runtime, value, at);
}

}  // namespace

const FilterTable& sequence_filters() {
  static const FilterTable kFilters = {
      {"batch", batch},      {"count", length_filter},
      {"first", first},      {"items", items_filter},
      {"last", last},        {"length", length_filter},
      {"list", list_filter}, {"random", random_item},
      {"reverse", reverse},  {"slice", slice},
      {"sum", sum},
  };
  return kFilters;
}

}  // namespace ashlar::text::jinja
