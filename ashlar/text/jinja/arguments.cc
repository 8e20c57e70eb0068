#include "ashlar/text/jinja/arguments.h"

#include "ashlar/text/jinja/comparison.h"
#include "ashlar/text/jinja/fault.h"

#include <algorithm>

namespace ashlar::text::jinja {

BoundArguments::BoundArguments(std::string_view function, const Arguments& arguments,
                               std::initializer_list<std::string_view> parameters, size_t required)
    : function_(function), parameters_(parameters), values_(parameters.size(), nullptr) {
  if (arguments.positional.size() > parameters_.size()) {
    fault("{}() takes at most {} arguments, {} given", function, parameters_.size(),
          arguments.positional.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(parameters_.begin(), parameters_.end(), name);
    if (found == parameters_.end()) fault("{}() has no argument named '{}'", function, name);
    const Value*& slot = values_[static_cast<size_t>(found - parameters_.begin())];
    if (slot != nullptr) fault("{}() got two values for argument '{}'", function, name);
    slot = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!has(i)) fault("{}() misses its argument '{}'", function, parameters_[i]);
  }
}

bool BoundArguments::truth(size_t i, bool otherwise) const {
  return has(i) ? truthy(*values_[i]) : otherwise;
}

int64_t BoundArguments::integer(size_t i) const {
  const Value& value = *values_[i];
  if (value.is_undefined()) fault("{}", value.undefined_reason());
  if (!value.is_integral()) {
    fault("{}(): argument '{}' is a {}, wanted an int", function_, parameters_[i],
          type_name(value));
  }
  return value.integer();
}

const std::string& BoundArguments::string(size_t i) const {
  const Value& value = *values_[i];
  if (value.is_undefined()) fault("{}", value.undefined_reason());
  if (!value.is_string()) {
    fault("{}(): argument '{}' is a {}, wanted a str", function_, parameters_[i], type_name(value));
  }
  return value.string();
}

void expect_no_arguments(std::string_view function, const Arguments& arguments) {
  BoundArguments(function, arguments, {});
}

}  // namespace ashlar::text::jinja
