#include "ashlar/text/jinja/methods.h"

#include "ashlar/text/jinja/access.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/loop.h"
#include "ashlar/text/jinja/objects.h"
#include "ashlar/text/jinja/operators.h"
#include "ashlar/text/jinja/runtime.h"

#include <algorithm>
#include <map>

namespace ashlar::text::jinja {
namespace {

Value cycler_next(Runtime&, const Value& self, const Arguments& arguments) {
  expect_no_arguments("next", arguments);
  return dynamic_cast<Cycler&>(self.object()).next();
}

Value cycler_reset(Runtime&, const Value& self, const Arguments& arguments) {
  expect_no_arguments("reset", arguments);
  dynamic_cast<Cycler&>(self.object()).reset();
  return Value();
}

Value loop_cycle(Runtime&, const Value& self, const Arguments& arguments) {
  if (!arguments.named.empty()) fault("cycle() takes no named arguments");
  return dynamic_cast<Loop&>(self.object()).cycle(arguments.positional);
}

Value loop_changed(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (!arguments.named.empty()) fault("changed() takes no named arguments");
  runtime.adopt(self.object_pointer());  // it may be told its own value
  return Value(
      dynamic_cast<Loop&>(self.object()).changed(runtime, Value::tuple(arguments.positional)));
}

Method::Body find_object_method(const Value& value, std::string_view name) {
  if (dynamic_cast<const Cycler*>(&value.object()) != nullptr) {
    if (name == "next") return cycler_next;
    if (name == "reset") return cycler_reset;
  }
  if (dynamic_cast<const Loop*>(&value.object()) != nullptr) {
    if (name == "cycle") return loop_cycle;
    if (name == "changed") return loop_changed;
  }
  if (dynamic_cast<const Range*>(&value.object()) != nullptr) return find_sequence_method(name);
  return nullptr;
}

// list.index and list.count
Value sequence_index(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("index", arguments, {"value", "start", "stop"}, 1);
  const std::vector<Value> items = iterate(runtime, self);
  const auto size = static_cast<int64_t>(items.size());
  const auto clamp = [&](int64_t at) {
    return std::min(std::max<int64_t>(at < 0 ? at + size : at, 0), size);
  };
  const int64_t stop = clamp(bound.integer(2, size));
  for (int64_t i = clamp(bound.integer(1, 0)); i < stop; ++i) {
    if (equal(runtime, items[static_cast<size_t>(i)], bound[0])) return Value(i);
  }
  fault("index(): the value is not in the {}", type_name(self));
}

Value sequence_count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("count", arguments, {"value"}, 1);
  int64_t count = 0;
  for (const Value& item : iterate(runtime, self)) count += equal(runtime, item, bound[0]) ? 1 : 0;
  return Value(count);
}

Value sequence_copy(Runtime&, const Value& self, const Arguments& arguments) {
  expect_no_arguments("copy", arguments);
  return self;
}

Value dict_view(const Value& self, const Arguments& arguments, std::string_view name,
                DictView::Part part) {
  expect_no_arguments(name, arguments);
  return Value(std::make_shared<DictView>(self, part));
}

Value dict_keys(Runtime&, const Value& self, const Arguments& arguments) {
  return dict_view(self, arguments, "keys", DictView::Part::kKeys);
}
Value dict_values(Runtime&, const Value& self, const Arguments& arguments) {
  return dict_view(self, arguments, "values", DictView::Part::kValues);
}
Value dict_items(Runtime&, const Value& self, const Arguments& arguments) {
  return dict_view(self, arguments, "items", DictView::Part::kItems);
}

Value dict_get(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("get", arguments, {"key", "default"}, 1);
  runtime.step(bound[0].weight());
  if (const Value* found = self.dict().find(bound[0])) return *found;
  return bound.has(1) ? bound[1] : Value();
}

// These hide a key of the same name, as they do in Python.
bool changes_dict(std::string_view name) {
  return name == "clear" || name == "pop" || name == "popitem" || name == "setdefault" ||
         name == "update";
}

}  // namespace

std::optional<Value> find_method(const Value& value, std::string_view name) {
  Method::Body body = nullptr;
  switch (value.kind()) {
    case Kind::kString:
      body = find_string_method(name);
      break;
    case Kind::kList:
      body = name == "copy" ? sequence_copy : find_sequence_method(name);
      break;
    case Kind::kTuple:
      body = find_sequence_method(name);
      break;
    case Kind::kDict:
      if (changes_dict(name)) {
        return Value::undefined(
            fmt::format("access to attribute '{}' of 'dict' object is unsafe.", name));
      }
      body = find_dict_method(name);
      break;
    case Kind::kObject:
      body = find_object_method(value, name);
      break;
    default:
      break;
  }
  if (body == nullptr) return std::nullopt;
  return Value(std::make_shared<Method>(name, value, body));
}

Method::Body find_sequence_method(std::string_view name) {
  if (name == "index") return sequence_index;
  if (name == "count") return sequence_count;
  return nullptr;
}

Method::Body find_dict_method(std::string_view name) {
  static const std::map<std::string_view, Method::Body> kMethods = {
      {"keys", dict_keys}, {"values", dict_values}, {"items", dict_items},
      {"get", dict_get},   {"copy", sequence_copy},
  };
  const auto found = kMethods.find(name);
  return found == kMethods.end() ? nullptr : found->second;
}

}  // namespace ashlar::text::jinja
