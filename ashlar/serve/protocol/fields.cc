#include "ashlar/serve/protocol/fields.h"

#include "ashlar/base/edit_distance.h"
#include "ashlar/serve/backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace ashlar::serve {

void refuse_field(std::string_view param, const std::string& message) {
  throw RequestError(
      {FaultKind::kInvalid, fmt::format("{}: {}", param, message), std::string(param), 0});
}

Fields::Fields(const JsonValue& value, std::string where)
    : object_(value.as<JsonObject>()), where_(std::move(where)) {
  if (object_ == nullptr) {
    refuse_field(where_.empty() ? "body" : where_,
                 fmt::format("found {}, wanted an object", describe(value)));
  }
}

const JsonValue* Fields::find(std::string_view name) const {
  looked_for_.emplace_back(name);
  for (const JsonMember& member : *object_) {
    if (member.key == name) return member.value.is_null() ? nullptr : &member.value;
  }
  return nullptr;
}

std::string Fields::path(std::string_view name) const {
  return where_.empty() ? std::string(name) : fmt::format("{}.{}", where_, name);
}

void Fields::refuse(std::string_view name, std::string_view wanted) const {
  const JsonValue* value = find(name);
  const std::string found = value == nullptr ? "nothing" : describe(*value);
  refuse_field(path(name), fmt::format("found {}, wanted {}", found, wanted));
}

void Fields::refuse_unread(std::span<const std::string_view> harmless) const {
  for (const JsonMember& member : *object_) {
    const bool* flag = member.value.as<bool>();
    if (member.value.is_null() || (flag != nullptr && !*flag)) continue;
    if (std::ranges::find(looked_for_, member.key) != looked_for_.end()) continue;
    if (std::ranges::find(harmless, member.key) != harmless.end()) continue;
    const std::string name = shortened(member.key);
    const auto meant = nearest(name, looked_for_);
    refuse_field(path(name), meant ? fmt::format("there is no such field; did you mean {}?", *meant)
                                   : "there is no such field; leave it out");
  }
}

template <typename T>
const T* Fields::typed(std::string_view name, std::string_view wanted) const {
  const JsonValue* value = find(name);
  if (value == nullptr) return nullptr;
  const T* data = value->as<T>();
  if (data == nullptr) refuse(name, wanted);
  return data;
}

std::optional<bool> Fields::boolean(std::string_view name) const {
  const bool* value = typed<bool>(name, "true or false");
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

std::optional<int64_t> Fields::integer(std::string_view name, int64_t low, int64_t high) const {
  const JsonValue* value = find(name);
  if (value == nullptr) return std::nullopt;
  const int64_t* data = value->as<int64_t>();
  if (data == nullptr || *data < low || *data > high) {
    refuse(name, fmt::format("an integer from {} to {}", low, high));
  }
  return *data;
}

std::optional<double> Fields::number(std::string_view name, double low, double high) const {
  const JsonValue* value = find(name);
  if (value == nullptr) return std::nullopt;
  double data = std::numeric_limits<double>::quiet_NaN();
  if (const auto* integer = value->as<int64_t>()) data = static_cast<double>(*integer);
  if (const auto* real = value->as<double>()) data = *real;
  if (!(data >= low && data <= high)) {
    refuse(name, fmt::format("a number from {} to {}", low, high));
  }
  return data;
}

std::optional<std::string> Fields::string(std::string_view name) const {
  const auto* value = typed<std::string>(name, "a string");
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

const JsonArray* Fields::array(std::string_view name) const {
  return typed<JsonArray>(name, "an array");
}

const JsonObject* Fields::object(std::string_view name) const {
  return typed<JsonObject>(name, "an object");
}

}  // namespace ashlar::serve
