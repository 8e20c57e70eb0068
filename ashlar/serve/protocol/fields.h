// Typed, ranged reads from a JSON object of a request. A fault names the field, the value found and
// the value wanted: `temperature: found the string "hot", wanted a number from 0 to 2`. A field
// that is absent or null counts as not given.
#pragma once

#include "ashlar/serve/protocol/json_value.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::serve {

// Throws RequestError (kInvalid) about one field.
[[noreturn]] void refuse_field(std::string_view param, const std::string& message);

class Fields {
 public:
  // `where` is the path of the object ("" for the body, "messages[2]"). Throws unless an object.
  // The value must outlive this.
  explicit Fields(const JsonValue& value, std::string where = "");

  const JsonValue* find(std::string_view name) const;  // nullptr: not given
  std::string path(std::string_view name) const;       // "messages[2].content"

  std::optional<bool> boolean(std::string_view name) const;
  std::optional<int64_t> integer(std::string_view name, int64_t low, int64_t high) const;
  std::optional<double> number(std::string_view name, double low, double high) const;
  std::optional<std::string> string(std::string_view name) const;
  const JsonArray* array(std::string_view name) const;    // nullptr: not given
  const JsonObject* object(std::string_view name) const;  // nullptr: not given

  // The field is there but not what was wanted.
  [[noreturn]] void refuse(std::string_view name, std::string_view wanted) const;
  // Refuses the first field that nobody looked for, with the nearest name that somebody did; null
  // and false ask for nothing and pass, and so do the fields of `harmless`.
  void refuse_unread(std::span<const std::string_view> harmless) const;

 private:
  template <typename T>
  const T* typed(std::string_view name, std::string_view wanted) const;

  const JsonObject* object_;
  std::string where_;
  mutable std::vector<std::string> looked_for_;
};

}  // namespace ashlar::serve
