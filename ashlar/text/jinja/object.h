// A value that is more than data: ranges, iterators, dict views, namespaces, loops, functions. Says
// which of Python's protocols it follows; the defaults follow none.
#pragma once

#include "ashlar/text/jinja/value.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::text::jinja {

class Runtime;
struct Arguments;

class Object {
 public:
  virtual ~Object() = default;
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  virtual std::string_view type_name() const = 0;
  virtual std::string repr(Runtime& runtime) const;

  virtual bool truthy() const { return true; }
  virtual bool equals(const Object& other) const { return this == &other; }
  virtual std::optional<int64_t> length() const { return std::nullopt; }

  virtual bool iterable() const { return false; }
  virtual bool subscriptable() const { return false; }
  virtual bool callable() const { return false; }
  // All items that are left; one-shot iterators are empty afterwards.
  virtual std::vector<Value> take_items(Runtime& runtime);
  virtual std::optional<Value> attribute(std::string_view name) const;
  // Element `index`, counted from the end when negative; nullopt beyond the ends.
  virtual std::optional<Value> element(int64_t index) const;
  // The items of a named tuple, which compares and hashes as a tuple does; null for all else.
  virtual const std::vector<Value>* tuple_items() const { return nullptr; }
  virtual Value call(Runtime& runtime, const Arguments& arguments);

  // Forgets the values it holds: breaks reference cycles when a rendering ends.
  virtual void clear() {}

  // Of the values it holds: see Value.
  int depth() const { return depth_; }
  int64_t weight() const { return weight_; }

 protected:
  void holds(const Value& value) { account_for_child(value, depth_, weight_); }
  void holds(const std::vector<Value>& values) {
    for (const Value& value : values) holds(value);
  }

 private:
  int depth_ = 1;
  int64_t weight_ = 1;
};

}  // namespace ashlar::text::jinja
