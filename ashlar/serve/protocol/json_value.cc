#include "ashlar/serve/protocol/json_value.h"

#include "ashlar/serve/backend.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>
#include <unordered_set>

namespace ashlar::serve {
namespace {

using nlohmann::json;

[[noreturn]] void refuse(std::string message) {
  throw RequestError({FaultKind::kInvalid, std::move(message), "", 0});
}

// Builds a JsonValue from the parser's callbacks.
class Builder : public json::json_sax_t {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  JsonValue take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(int64_t value) override { return add(value); }
  bool number_unsigned(uint64_t value) override {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return add(static_cast<double>(value));
    }
    return add(static_cast<int64_t>(value));
  }
  bool number_float(double value, const std::string&) override { return add(value); }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(json::binary_t&) override { return false; }  // not a thing of JSON text

  bool start_object(size_t) override { return open(JsonObject{}); }
  bool key(std::string& name) override {
    count();
    if (!open_.back().keys.insert(name).second) {
      refuse(fmt::format("duplicate key \"{}\" in the JSON body; give it once", shortened(name)));
    }
    key_ = std::move(name);
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(JsonArray{}); }
  bool end_array() override { return close(); }

  bool parse_error(size_t position, const std::string&, const json::exception& error) override {
    std::string_view why = error.what();
    // "[json.exception...] parse error at line 1, column 2: syntax error ...": the last part.
    if (const size_t at = why.find("syntax error"); at != std::string_view::npos) {
      why.remove_prefix(at);
    } else if (const size_t end = why.find("] "); end != std::string_view::npos) {
      why.remove_prefix(end + 2);
    }
    refuse(fmt::format("the body is not valid JSON at byte {}: {}", position, why));
  }

 private:
  struct Open {
    JsonValue* value;
    std::unordered_set<std::string> keys;  // of an object
  };

  void count() {
    if (++members_ > limits_.members) {
      refuse(fmt::format("the JSON body has more than {} members", limits_.members));
    }
  }

  JsonValue& place() {
    if (open_.empty()) return root_;
    JsonValue& parent = *open_.back().value;
    if (auto* array = std::get_if<JsonArray>(&parent.data)) return array->emplace_back();
    auto& object = std::get<JsonObject>(parent.data);
    object.push_back({std::move(key_), {}});
    return object.back().value;
  }

  template <typename T>
  bool add(T value) {
    place().data = std::move(value);
    return true;
  }

  // The pointers in open_ stay valid: a container only grows while it is the innermost open one.
  template <typename T>
  bool open(T container) {
    count();
    if (open_.size() == limits_.depth) {
      refuse(fmt::format("the JSON body is nested deeper than {} levels", limits_.depth));
    }
    JsonValue& value = place();
    value.data = std::move(container);
    open_.push_back({&value, {}});
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const JsonLimits& limits_;
  JsonValue root_;
  std::vector<Open> open_;
  std::string key_;
  size_t members_ = 0;
};

void write(const JsonValue& value, std::string& out);

void write_string(const std::string& text, std::string& out) {
  out += json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

void write_value(std::nullptr_t, std::string& out) { out += "null"; }
void write_value(bool flag, std::string& out) { out += flag ? "true" : "false"; }
void write_value(int64_t number, std::string& out) { out += fmt::to_string(number); }
void write_value(double number, std::string& out) {
  out += std::isfinite(number) ? fmt::format("{}", number) : "null";
}
void write_value(const std::string& text, std::string& out) { write_string(text, out); }

void write_value(const JsonArray& items, std::string& out) {
  out += '[';
  for (const JsonValue& item : items) {
    if (&item != &items.front()) out += ',';
    write(item, out);
  }
  out += ']';
}

void write_value(const JsonObject& members, std::string& out) {
  out += '{';
  for (const JsonMember& member : members) {
    if (&member != &members.front()) out += ',';
    write_string(member.key, out);
    out += ':';
    write(member.value, out);
  }
  out += '}';
}

void write(const JsonValue& value, std::string& out) {
  std::visit([&](const auto& data) { write_value(data, out); }, value.data);
}

}  // namespace

JsonValue parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    refuse("the body is empty; wanted a JSON object");
  }
  Builder builder(limits);
  json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

std::string describe(const JsonValue& value) {
  if (value.is_null()) return "null";
  if (const auto* flag = value.as<bool>()) return *flag ? "true" : "false";
  if (const auto* integer = value.as<int64_t>()) return fmt::format("the number {}", *integer);
  if (const auto* number = value.as<double>()) {
    std::string text = fmt::format("{}", *number);
    if (text.find_first_of(".e") == std::string::npos) text += ".0";  // which is no integer
    return "the number " + text;
  }
  if (const auto* array = value.as<JsonArray>()) {
    return fmt::format("an array of {}", array->size());
  }
  if (value.as<JsonObject>() != nullptr) return "an object";
  return fmt::format("the string \"{}\"", shortened(std::get<std::string>(value.data)));
}

std::string shortened(std::string_view text) {
  constexpr size_t kShown = 40;
  if (text.size() <= kShown) return std::string(text);
  return fmt::format("{}...", text.substr(0, kShown));
}

std::string to_text(const JsonValue& value) {
  std::string out;
  write(value, out);
  return out;
}

}  // namespace ashlar::serve
