// A value of a template, with Python's meaning: none, undefined, bool, int (64 bits), float, str,
// list, tuple, dict in insertion order, or an Object (ranges, iterators, functions, namespaces).
// Values are immutable and share their contents, so copying one is cheap. Only namespaces,
// iterators and the like change, and they are Objects.
//
// Containers know how deep they nest (at most kMaxDepth, else Fault) and how much work visiting all
// of them is, so no walk over a value can overflow the stack or take longer than was paid for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ashlar::text::jinja {

class Dict;
class Object;

enum class Kind { kNone, kUndefined, kBool, kInt, kFloat, kString, kList, kTuple, kDict, kObject };

class Value {
 public:
  static constexpr int kMaxDepth = 256;

  Value() = default;  // none
  Value(bool value) : data_(value) {}
  Value(int value) : data_(int64_t{value}) {}
  Value(int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(std::string text) : Value(std::move(text), false) {}
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(Dict dict);
  Value(std::shared_ptr<Object> object);

  // `reason` is the message of the error that using the value gives: "'x' is undefined".
  static Value undefined(std::string reason);
  static Value list(std::vector<Value> items) { return Value(std::move(items), Kind::kList); }
  static Value tuple(std::vector<Value> items) { return Value(std::move(items), Kind::kTuple); }
  // A string already escaped for HTML, what the filters `safe` and `escape` give.
  static Value markup(std::string text) { return Value(std::move(text), true); }
  // A string with the markup flag of `like`.
  static Value string_like(const Value& like, std::string text) {
    return Value(std::move(text), like.is_markup());
  }

  Kind kind() const;
  bool is_none() const { return kind() == Kind::kNone; }
  bool is_undefined() const { return kind() == Kind::kUndefined; }
  bool is_bool() const { return kind() == Kind::kBool; }
  bool is_int() const { return kind() == Kind::kInt; }
  bool is_float() const { return kind() == Kind::kFloat; }
  bool is_string() const { return kind() == Kind::kString; }
  bool is_list() const { return kind() == Kind::kList; }
  bool is_tuple() const { return kind() == Kind::kTuple; }
  bool is_dict() const { return kind() == Kind::kDict; }
  bool is_object() const { return kind() == Kind::kObject; }
  bool is_markup() const;
  bool is_integral() const { return is_bool() || is_int(); }
  bool is_number() const { return is_integral() || is_float(); }
  bool is_sequence() const { return is_list() || is_tuple(); }

  // Each expects the kind it names.
  const std::string& undefined_reason() const;
  bool boolean() const { return std::get<bool>(data_); }
  int64_t integer() const;  // of a bool or an int
  double number() const;    // of a bool, an int or a float
  const std::string& string() const;
  const std::vector<Value>& items() const;  // of a list or a tuple
  const Dict& dict() const;
  Object& object() const;
  const std::shared_ptr<Object>& object_pointer() const;

  int depth() const;       // 1 for scalars
  int64_t weight() const;  // about how many steps a walk over the value takes

  // Whether both are the very same object in memory (Python's `is`).
  bool same_as(const Value& other) const;

 private:
  struct Undefined {
    std::string reason;
  };
  struct String {
    std::string text;
    bool markup;
  };
  struct Sequence {
    std::vector<Value> items;
    bool tuple;
    int depth;
    int64_t weight;
  };

  Value(std::string text, bool markup)
      : data_(std::make_shared<const String>(String{std::move(text), markup})) {}
  Value(std::vector<Value> items, Kind kind);

  std::variant<std::monostate, std::shared_ptr<const Undefined>, bool, int64_t, double,
               std::shared_ptr<const String>, std::shared_ptr<const Sequence>,
               std::shared_ptr<const Dict>, std::shared_ptr<Object>>
      data_;
};

// Adds a child to the depth and weight of a container under construction.
void account_for_child(const Value& child, int& depth, int64_t& weight);

// Python's name of the type: 'str', 'dict', 'NoneType', 'Undefined', ...
std::string_view type_name(const Value& value);

}  // namespace ashlar::text::jinja
