// JSON as a value. parse_json reads untrusted text and fails closed: duplicate keys, deep nesting,
// NaN, numbers out of range, invalid UTF-8 and trailing text are refused, with the byte offset.
// to_text writes compact JSON that is always valid. Objects keep their order.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ashlar::serve {

struct JsonMember;
struct JsonValue;
using JsonArray = std::vector<JsonValue>;
using JsonObject = std::vector<JsonMember>;

// Made implicitly from what it can hold, so that objects are written as lists:
// JsonObject{{"id", id}, {"created", 3}, {"usage", nullptr}}.
struct JsonValue {
  std::variant<std::nullptr_t, bool, int64_t, double, std::string, JsonArray, JsonObject> data;

  JsonValue();
  JsonValue(std::nullptr_t);
  JsonValue(bool flag);
  template <std::integral T>
  requires(!std::same_as<T, bool>) JsonValue(T number);
  JsonValue(double number);
  JsonValue(std::string text);
  JsonValue(std::string_view text);
  JsonValue(const char* text);
  JsonValue(JsonArray items);
  JsonValue(JsonObject members);

  template <typename T>
  const T* as() const {
    return std::get_if<T>(&data);
  }
  bool is_null() const { return as<std::nullptr_t>() != nullptr; }
};

struct JsonMember {
  std::string key;
  JsonValue value;
};

// Here, where a member is complete.
inline JsonValue::JsonValue() : data(nullptr) {}
inline JsonValue::JsonValue(std::nullptr_t) : data(nullptr) {}
inline JsonValue::JsonValue(bool flag) : data(flag) {}
template <std::integral T>
requires(!std::same_as<T, bool>) JsonValue::JsonValue(T number)
    : data(static_cast<int64_t>(number)) {}
inline JsonValue::JsonValue(double number) : data(number) {}
inline JsonValue::JsonValue(std::string text) : data(std::move(text)) {}
inline JsonValue::JsonValue(std::string_view text) : data(std::string(text)) {}
inline JsonValue::JsonValue(const char* text) : data(std::string(text)) {}
inline JsonValue::JsonValue(JsonArray items) : data(std::move(items)) {}
inline JsonValue::JsonValue(JsonObject members) : data(std::move(members)) {}

struct JsonLimits {
  size_t depth = 64;
  size_t members = 200'000;  // object members and containers: bounds memory per byte of text
};

// Throws RequestError (kInvalid).
JsonValue parse_json(std::string_view text, const JsonLimits& limits = {});

// For error messages: `the string "hot"`, `the number 3`, `an array of 2`, `null`.
std::string describe(const JsonValue& value);
// Text from a request as far as a message shows it.
std::string shortened(std::string_view text);

// Invalid UTF-8 becomes U+FFFD; a number that is not finite becomes null.
std::string to_text(const JsonValue& value);

}  // namespace ashlar::serve
