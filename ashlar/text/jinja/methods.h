// The methods of str, list, tuple, dict and of the Objects that have some. Those that would change
// their list or dict are absent: chat templates run in jinja2's immutable sandbox.
#pragma once

#include "ashlar/text/jinja/functions.h"
#include "ashlar/text/jinja/value.h"

#include <optional>
#include <string_view>

namespace ashlar::text::jinja {

// The method bound to the value; nullopt when its type has none of that name.
std::optional<Value> find_method(const Value& value, std::string_view name);

// nullptr when there is none.
Method::Body find_string_method(std::string_view name);
Method::Body find_string_predicate(std::string_view name);
Method::Body find_sequence_method(std::string_view name);
Method::Body find_dict_method(std::string_view name);

}  // namespace ashlar::text::jinja
