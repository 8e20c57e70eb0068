#include "ashlar/text/jinja/loop.h"

#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/operators.h"

namespace ashlar::text::jinja {

bool Loop::look_ahead(size_t count) const {
  while (items_.size() < count && tested_ < candidates_.size()) {
    const Value& candidate = candidates_[tested_++];
    if (!test_ || test_(candidate)) items_.push_back(candidate);
  }
  return items_.size() >= count;
}

bool Loop::advance() { return look_ahead(static_cast<size_t>(++index_) + 1); }

std::string Loop::repr(Runtime&) const {
  return fmt::format("<LoopContext {}/{}>", index_ + 1, *length());
}

std::optional<int64_t> Loop::length() const {
  look_ahead(candidates_.size());
  return static_cast<int64_t>(items_.size());
}

Value Loop::call(Runtime&, const Arguments& arguments) {
  if (!recurse_) fault("the loop must have the 'recursive' marker to be called");
  const BoundArguments bound("loop", arguments, {"iterable"}, 1);
  return recurse_(bound[0]);
}

std::optional<Value> Loop::attribute(std::string_view name) const {
  if (name == "index") return Value(index_ + 1);
  if (name == "index0") return Value(index_);
  if (name == "revindex") return Value(*length() - index_);
  if (name == "revindex0") return Value(*length() - index_ - 1);
  if (name == "first") return Value(index_ == 0);
  if (name == "last") return Value(!look_ahead(static_cast<size_t>(index_) + 2));
  if (name == "length") return Value(*length());
  if (name == "depth") return Value(level_ + 1);
  if (name == "depth0") return Value(level_);
  if (name == "previtem") {
    if (index_ == 0) return Value::undefined("there is no previous item");
    return items_[static_cast<size_t>(index_ - 1)];
  }
  if (name == "nextitem") {
    if (!look_ahead(static_cast<size_t>(index_) + 2)) {
      return Value::undefined("there is no next item");
    }
    return items_[static_cast<size_t>(index_ + 1)];
  }
  return std::nullopt;
}

Value Loop::cycle(const std::vector<Value>& values) const {
  if (values.empty()) fault("no items for cycling given");
  return values[static_cast<size_t>(index_) % values.size()];
}

bool Loop::changed(Runtime& runtime, Value values) {
  if (last_changed_ && equal(runtime, *last_changed_, values)) return false;
  holds(values);
  last_changed_ = std::move(values);
  return true;
}

}  // namespace ashlar::text::jinja
