// The variable `loop` inside a for loop.
#pragma once

#include "ashlar/text/jinja/arguments.h"
#include "ashlar/text/jinja/object.h"

#include <vector>

namespace ashlar::text::jinja {

class Loop : public Object {
 public:
  explicit Loop(std::vector<Value> items) : items_(std::move(items)) { holds(items_); }

  // Moves to the next item; false behind the last.
  bool advance();
  const Value& item() const { return items_[static_cast<size_t>(index_)]; }

  std::string_view type_name() const override { return "LoopContext"; }
  std::string repr(Runtime& runtime) const override;
  std::optional<int64_t> length() const override { return static_cast<int64_t>(items_.size()); }
  std::optional<Value> attribute(std::string_view name) const override;
  void clear() override { last_changed_.reset(); }

  // loop.cycle('a', 'b')
  Value cycle(const std::vector<Value>& values) const;
  // loop.changed(value): whether the last call had other values.
  bool changed(Runtime& runtime, Value values);

 private:
  std::vector<Value> items_;
  int64_t index_ = -1;
  std::optional<Value> last_changed_;
};

}  // namespace ashlar::text::jinja
