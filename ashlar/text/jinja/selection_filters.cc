#include "ashlar/text/jinja/access.h"
#include "ashlar/text/jinja/comparison.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/filters.h"
#include "ashlar/text/jinja/item_path.h"
#include "ashlar/text/jinja/objects.h"
#include "ashlar/text/jinja/operators.h"
#include "ashlar/text/jinja/predicates.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/text_ops.h"

#include <algorithm>

namespace ashlar::text::jinja {
namespace {

Arguments without_first(const Arguments& arguments, size_t count) {
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(count));
  return rest;
}

// map(attribute='a') looks up, map('filter', ...) applies.
Value map(Runtime& runtime, const Value& value, const Arguments& arguments) {
  if (!truthy(value)) return make_iterator({});
  std::vector<Value> out;
  if (arguments.positional.empty() && !arguments.named.empty()) {
    const BoundArguments bound("map", arguments, {"attribute", "default"}, 1);
    const ItemPath path(bound[0]);
    const Value* otherwise = bound.has_not_none(1) ? &bound[1] : nullptr;
    for (const Value& item : iterate(runtime, value)) {
      out.push_back(path.follow(runtime, item, otherwise));
    }
    return make_iterator(std::move(out));
  }
  if (arguments.positional.empty()) fault("map requires a filter argument");
  const Value& name = arguments.positional[0];
  const Filter filter = name.is_string() ? find_filter(name.string()) : nullptr;
  const Arguments rest = without_first(arguments, 1);
  for (const Value& item : iterate(runtime, value)) {
    if (filter == nullptr) fault("No filter named '{}'.", name.is_string() ? name.string() : "");
    const Nesting nesting(runtime);
    out.push_back(filter(runtime, item, rest));
  }
  return make_iterator(std::move(out));
}

// select, reject: by a test of the item, or its truth. selectattr, rejectattr: of an attribute.
template <bool keep, bool by_attribute>
Value select(Runtime& runtime, const Value& value, const Arguments& arguments) {
  if (!truthy(value)) return make_iterator({});
  const size_t test_at = by_attribute ? 1 : 0;
  if (arguments.positional.size() < test_at) fault("Missing parameter for attribute name");
  const ItemPath path = by_attribute ? ItemPath(arguments.positional[0]) : ItemPath();
  const bool has_test = arguments.positional.size() > test_at;
  Predicate test = nullptr;
  Arguments rest;
  if (has_test) {
    const Value& name = arguments.positional[test_at];
    test = name.is_string() ? find_predicate(name.string()) : nullptr;
    if (test == nullptr) fault("No test named '{}'.", name.is_string() ? name.string() : "");
    rest = without_first(arguments, test_at + 1);
  }
  std::vector<Value> out;
  for (const Value& item : iterate(runtime, value)) {
    const Value looked_at = path.follow(runtime, item);
    const bool passes = has_test ? test(runtime, looked_at, rest) : truthy(looked_at);
    if (passes == keep) out.push_back(item);
  }
  return make_iterator(std::move(out));
}

struct Keyed {
  Value key, item;
};

// Python's sorted(): stable, also when reversed.
std::vector<Value> sorted(Runtime& runtime, std::vector<Keyed> keyed, bool reverse) {
  if (reverse) std::reverse(keyed.begin(), keyed.end());
  std::stable_sort(keyed.begin(), keyed.end(), [&](const Keyed& left, const Keyed& right) {
    return less(runtime, left.key, right.key);
  });
  if (reverse) std::reverse(keyed.begin(), keyed.end());
  std::vector<Value> out;
  out.reserve(keyed.size());
  for (Keyed& entry : keyed) out.push_back(std::move(entry.item));
  return out;
}

Value sort(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const bool case_sensitive = bound.truth(1, false);
  std::vector<ItemPath> paths;
  if (bound.has(2) && bound[2].is_string()) {
    for (const std::string_view path : split(bound[2].string(), ",", -1)) {
      paths.emplace_back(Value(path));
    }
  } else {
    paths.push_back(bound.has(2) ? ItemPath(bound[2]) : ItemPath());
  }
  std::vector<Keyed> keyed;
  for (const Value& item : iterate(runtime, value)) {
    std::vector<Value> keys;
    for (const ItemPath& path : paths) {
      const Value key = path.follow(runtime, item);
      keys.push_back(case_sensitive ? key : ignoring_case(runtime, key));
    }
    keyed.push_back({Value::list(std::move(keys)), item});
  }
  return Value::list(sorted(runtime, std::move(keyed), bound.truth(0, false)));
}

// Items by an attribute, in its order; a group is named as its first item writes the key.
Value group_by(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("groupby", arguments, {"attribute", "default", "case_sensitive"});
  if (!bound.has(0)) fault("groupby: missing the argument 'attribute'");
  const ItemPath path(bound[0]);
  const Value* const otherwise = bound.has_not_none(1) ? &bound[1] : nullptr;
  const auto key_of = [&](const Value& item) {
    const Value key = path.follow(runtime, item, otherwise);
    return bound.truth(2, false) ? key : ignoring_case(runtime, key);
  };
  std::vector<Keyed> keyed;
  for (const Value& item : iterate(runtime, value)) keyed.push_back({key_of(item), item});
  std::vector<Value> groups, members;
  const auto close = [&] {
    if (members.empty()) return;
    Value grouper = path.follow(runtime, members[0], otherwise);
    groups.push_back(Value(std::make_shared<Group>(std::move(grouper), Value::list(members))));
    members.clear();
  };
  Value last;
  for (Value& item : sorted(runtime, std::move(keyed), false)) {
    Value key = key_of(item);
    if (!members.empty() && !equal(runtime, key, last)) close();
    last = std::move(key);
    members.push_back(std::move(item));
  }
  close();
  return Value::list(std::move(groups));
}

Value dictsort(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string by = bound.has(1) && bound[1].is_string() ? bound[1].string() : "key";
  if ((bound.has(1) && !bound[1].is_string()) || (by != "key" && by != "value")) {
    fault("dictsort: you can only sort by either \"key\" or \"value\"");
  }
  if (value.is_undefined()) fault("{}", value.undefined_reason());
  if (!value.is_dict()) fault("dictsort: value is a {}, wanted a dict", type_name(value));
  std::vector<Keyed> keyed;
  for (const auto& [key, element] : value.dict().entries()) {
    runtime.step();
    const Value& sort_by = by == "key" ? key : element;
    keyed.push_back({bound.truth(0, false) ? sort_by : ignoring_case(runtime, sort_by),
                     Value::tuple({key, element})});
  }
  return Value::list(sorted(runtime, std::move(keyed), bound.truth(2, false)));
}

Value unique(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("unique", arguments, {"case_sensitive", "attribute"});
  const ItemPath path = bound.has_not_none(1) ? ItemPath(bound[1]) : ItemPath();
  Dict seen;
  std::vector<Value> out;
  for (const Value& item : iterate(runtime, value)) {
    Value key = path.follow(runtime, item);
    if (!bound.truth(0, false)) key = ignoring_case(runtime, key);
    runtime.step(key.weight());
    if (seen.find(key) != nullptr) continue;
    seen.set(key, Value());
    out.push_back(item);
  }
  return make_iterator(std::move(out));
}

template <bool largest>
Value extreme(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound(largest ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const ItemPath path = bound.has_not_none(1) ? ItemPath(bound[1]) : ItemPath();
  const std::vector<Value> items = iterate(runtime, value);
  if (items.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  const auto key_of = [&](const Value& item) {
    const Value key = path.follow(runtime, item);
    return bound.truth(0, false) ? key : ignoring_case(runtime, key);
  };
  const Value* best = &items[0];
  Value best_key = key_of(*best);
  for (size_t i = 1; i < items.size(); ++i) {
    const Value key = key_of(items[i]);
    if (largest ? less(runtime, best_key, key) : less(runtime, key, best_key)) {
      best = &items[i];
      best_key = key;
    }
  }
  return *best;
}

}  // namespace

const FilterTable& selection_filters() {
  static const FilterTable kFilters = {
      {"dictsort", dictsort},
      {"groupby", group_by},
      {"map", map},
      {"max", extreme<true>},
      {"min", extreme<false>},
      {"reject", select<false, false>},
      {"rejectattr", select<false, true>},
      {"select", select<true, false>},
      {"selectattr", select<true, true>},
      {"sort", sort},
      {"unique", unique},
  };
  return kFilters;
}

}  // namespace ashlar::text::jinja
