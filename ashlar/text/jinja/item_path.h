// The attribute of `map(attribute='a.b.0')` and the like: a dotted path into each item, where
// numbers are positions.
#pragma once

#include "ashlar/text/jinja/value.h"

#include <vector>

namespace ashlar::text::jinja {

class Runtime;

class ItemPath {
 public:
  ItemPath() = default;  // the item itself
  explicit ItemPath(const Value& attribute);

  // `otherwise` stands for what is undefined along the path.
  Value follow(Runtime& runtime, const Value& item, const Value* otherwise = nullptr) const;

 private:
  std::vector<Value> parts_;
};

// Strings in lower case, all else as it is: what sorts without regard to case.
Value ignoring_case(Runtime& runtime, const Value& value);

}  // namespace ashlar::text::jinja
