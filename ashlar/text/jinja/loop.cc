#include "ashlar/text/jinja/loop.h"

#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/operators.h"

namespace ashlar::text::jinja {

bool Loop::advance() { return ++index_ < static_cast<int64_t>(items_.size()); }

std::string Loop::repr(Runtime&) const {
  return fmt::format("<LoopContext {}/{}>", index_ + 1, items_.size());
}

std::optional<Value> Loop::attribute(std::string_view name) const {
  const auto size = static_cast<int64_t>(items_.size());
  if (name == "index") return Value(index_ + 1);
  if (name == "index0") return Value(index_);
  if (name == "revindex") return Value(size - index_);
  if (name == "revindex0") return Value(size - index_ - 1);
  if (name == "first") return Value(index_ == 0);
  if (name == "last") return Value(index_ + 1 >= size);
  if (name == "length") return Value(size);
  if (name == "depth") return Value(1);  // deeper only in recursive loops
  if (name == "depth0") return Value(0);
  if (name == "previtem") {
    if (index_ == 0) return Value::undefined("there is no previous item");
    return items_[static_cast<size_t>(index_ - 1)];
  }
  if (name == "nextitem") {
    if (index_ + 1 >= size) return Value::undefined("there is no next item");
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
