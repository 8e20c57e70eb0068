// The variable `loop` inside a for loop. As in jinja2, an item is tested only when the loop comes
// to it or looks ahead (loop.last, loop.nextitem, loop.length): the test may depend on what the
// body set.
#pragma once

#include "ashlar/text/jinja/arguments.h"
#include "ashlar/text/jinja/object.h"

#include <functional>
#include <utility>
#include <vector>

namespace ashlar::text::jinja {

class Loop : public Object {
 public:
  // Whether the loop's `if` lets an item pass; empty: all pass.
  using Test = std::function<bool(const Value& item)>;
  // The text of the same loop over other items, one level deeper; empty: not recursive.
  using Recurse = std::function<Value(const Value& iterable)>;

  Loop(std::vector<Value> items, Test test, Recurse recurse, int64_t depth)
      : candidates_(std::move(items)),
        test_(std::move(test)),
        recurse_(std::move(recurse)),
        level_(depth) {
    holds(candidates_);
  }

  // Moves to the next item; false behind the last.
  bool advance();
  const Value& item() const { return items_[static_cast<size_t>(index_)]; }

  std::string_view type_name() const override { return "LoopContext"; }
  std::string repr(Runtime& runtime) const override;
  std::optional<int64_t> length() const override;
  bool callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override;
  std::optional<Value> attribute(std::string_view name) const override;
  void clear() override { last_changed_.reset(); }

  // loop.cycle('a', 'b')
  Value cycle(const std::vector<Value>& values) const;
  // loop.changed(value): whether the last call had other values.
  bool changed(Runtime& runtime, Value values);

 private:
  // Tests on until there are `count` items; false where there are fewer.
  bool look_ahead(size_t count) const;

  std::vector<Value> candidates_;
  Test test_;
  Recurse recurse_;
  int64_t level_;  // 0 for the outermost
  // What the tests have let pass so far.
  mutable std::vector<Value> items_;
  mutable size_t tested_ = 0;
  int64_t index_ = -1;
  std::optional<Value> last_changed_;
};

}  // namespace ashlar::text::jinja
