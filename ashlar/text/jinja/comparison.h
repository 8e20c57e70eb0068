// Python's ==, <, hash() and truth of values. The walks cost as much as Value::weight says; callers
// that run for a template pay that to the Runtime first (operators.h does).
#pragma once

#include "ashlar/text/jinja/value.h"

#include <cstddef>

namespace ashlar::text::jinja {

bool values_equal(const Value& left, const Value& right);

// left < right; Fault where Python has no order between the two types.
bool values_less(const Value& left, const Value& right);
bool values_less_or_equal(const Value& left, const Value& right);

// Equal values have equal hashes (1, 1.0 and true too); Fault for lists and dicts.
size_t hash(const Value& value);

bool truthy(const Value& value);

}  // namespace ashlar::text::jinja
