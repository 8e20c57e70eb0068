#include "ashlar/text/jinja/json_input.h"

#include "ashlar/base/error.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace ashlar::text::jinja {
namespace {

using Json = nlohmann::json;

// Builds values as the parser meets them, so no second tree is made and depth is bounded early.
class ValueBuilder : public nlohmann::json_sax<Json> {
 public:
  explicit ValueBuilder(LargeIntegers large) : large_(large) {}

  bool null() override { return add(Value()); }
  bool boolean(bool value) override { return add(Value(value)); }
  bool number_integer(number_integer_t value) override { return add(Value(int64_t{value})); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value <= static_cast<uint64_t>(INT64_MAX)) return add(Value(static_cast<int64_t>(value)));
    return large_integer(static_cast<double>(value), fmt::to_string(value));
  }
  bool number_float(number_float_t value, const string_t& text) override {
    const bool is_integer = text.find_first_of(".eE") == text.npos;
    return is_integer ? large_integer(value, text) : add(Value(value));
  }
  bool string(string_t& value) override { return add(Value(std::move(value))); }
  bool binary(binary_t&) override { return false; }

  bool start_object(std::size_t) override { return open(true); }
  bool key(string_t& key) override {
    levels_.back().key = std::move(key);
    return true;
  }
  bool end_object() override {
    Value value(std::move(levels_.back().dict));
    return close(std::move(value));
  }
  bool start_array(std::size_t) override { return open(false); }
  bool end_array() override {
    Value value = Value::list(std::move(levels_.back().items));
    return close(std::move(value));
  }
  bool parse_error(std::size_t, const std::string&, const Json::exception& error) override {
    throw Fault(error.what());
  }

  Value take() { return std::move(result_); }

 private:
  struct Level {
    bool is_object;
    std::string key;
    Dict dict;
    std::vector<Value> items;
  };

  bool large_integer(double rounded, const std::string& digits) {
    if (large_ == LargeIntegers::kRefuse) fault("integer {} is beyond 64 bits", digits);
    return add(Value(rounded));
  }

  bool open(bool is_object) {
    if (levels_.size() >= static_cast<size_t>(Value::kMaxDepth) - 8) {
      fault("nests deeper than {} levels", Value::kMaxDepth - 8);
    }
    levels_.push_back(Level{is_object, {}, {}, {}});
    return true;
  }

  bool close(Value value) {
    levels_.pop_back();
    return add(std::move(value));
  }

  bool add(Value value) {
    if (levels_.empty()) {
      result_ = std::move(value);
    } else if (levels_.back().is_object) {
      levels_.back().dict.set(Value(levels_.back().key), std::move(value));
    } else {
      levels_.back().items.push_back(std::move(value));
    }
    return true;
  }

  const LargeIntegers large_;
  std::vector<Level> levels_;
  Value result_;
};

}  // namespace

Value parse_json(std::string_view text, std::string_view where, LargeIntegers large) {
  ValueBuilder builder(large);
  try {
    Json::sax_parse(text.begin(), text.end(), &builder);
  } catch (const Fault& problem) {
    fail("{}: {}", where, problem.what());
  }
  return builder.take();
}

}  // namespace ashlar::text::jinja
