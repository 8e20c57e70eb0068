// The arguments of a call, and their binding to a function's parameters by place and by name.
#pragma once

#include "ashlar/text/jinja/value.h"

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ashlar::text::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Arguments in the order of a function's parameters. Fault for too many, too few, unknown or double
// ones, and where a getter finds another type than it names.
class BoundArguments {
 public:
  BoundArguments(std::string_view function, const Arguments& arguments,
                 std::initializer_list<std::string_view> parameters, size_t required = 0);

  bool has(size_t i) const { return values_[i] != nullptr; }
  bool has_not_none(size_t i) const { return has(i) && !values_[i]->is_none(); }
  const Value& operator[](size_t i) const { return *values_[i]; }

  bool truth(size_t i, bool otherwise) const;
  int64_t integer(size_t i) const;
  int64_t integer(size_t i, int64_t otherwise) const { return has(i) ? integer(i) : otherwise; }
  const std::string& string(size_t i) const;

 private:
  std::string_view function_;
  std::vector<std::string_view> parameters_;
  std::vector<const Value*> values_;
};

// Fault unless there are none.
void expect_no_arguments(std::string_view function, const Arguments& arguments);

}  // namespace ashlar::text::jinja
