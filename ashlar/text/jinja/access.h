// Reaching into values as jinja2's sandbox does: `a.b`, `a[b]`, `a[i:j:k]`, iteration, len().
#pragma once

#include "ashlar/text/jinja/value.h"

#include <optional>
#include <string_view>
#include <vector>

namespace ashlar::text::jinja {

class Runtime;

// `a.name`: a method or attribute, else an element under that key, else undefined. Fault when `a`
// is undefined. Whatever would change a list or dict is undefined, as in the immutable sandbox.
Value get_attribute(Runtime& runtime, const Value& value, std::string_view name);

// `a[key]`: an element, else (for a string key) a method or attribute, else undefined.
Value get_item(Runtime& runtime, const Value& value, const Value& key);

// `a[start:stop:step]`; none stands for a bound left out. Fault for what can't be sliced.
Value get_slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop,
                const Value& step);

// All items (characters of a string, keys of a dict, nothing of undefined); Fault when not
// iterable.
std::vector<Value> iterate(Runtime& runtime, const Value& value);
bool is_iterable(const Value& value);

// Python's len(); nullopt where it has none.
std::optional<int64_t> length(Runtime& runtime, const Value& value);

// Calls a function, method or macro.
struct Arguments;
Value call(Runtime& runtime, const Value& function, const Arguments& arguments);

}  // namespace ashlar::text::jinja
