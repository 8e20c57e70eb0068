#include "ashlar/text/jinja/value.h"

#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/object.h"

#include <algorithm>

namespace ashlar::text::jinja {
namespace {

constexpr int64_t kMaxWeight = int64_t{1} << 50;

}  // namespace

void account_for_child(const Value& child, int& depth, int64_t& weight) {
  depth = std::max(depth, child.depth() + 1);
  weight = std::min(kMaxWeight, weight + child.weight());
  if (depth > Value::kMaxDepth) fault("value nests deeper than {} levels", Value::kMaxDepth);
}

Value::Value(Dict dict) : data_(std::make_shared<const Dict>(std::move(dict))) {}

Value::Value(std::shared_ptr<Object> object) : data_(std::move(object)) {}

Value::Value(std::vector<Value> items, Kind kind) {
  int depth = 1;
  int64_t weight = 1;
  for (const Value& item : items) account_for_child(item, depth, weight);
  data_ = std::make_shared<const Sequence>(
      Sequence{std::move(items), kind == Kind::kTuple, depth, weight});
}

Value Value::undefined(std::string reason) {
  Value value;
  value.data_ = std::make_shared<const Undefined>(Undefined{std::move(reason)});
  return value;
}

Kind Value::kind() const {
  switch (data_.index()) {
    case 0:
      return Kind::kNone;
    case 1:
      return Kind::kUndefined;
    case 2:
      return Kind::kBool;
    case 3:
      return Kind::kInt;
    case 4:
      return Kind::kFloat;
    case 5:
      return Kind::kString;
    case 6:
      return std::get<6>(data_)->tuple ? Kind::kTuple : Kind::kList;
    case 7:
      return Kind::kDict;
    default:
      return Kind::kObject;
  }
}

bool Value::is_markup() const { return is_string() && std::get<5>(data_)->markup; }

const std::string& Value::undefined_reason() const { return std::get<1>(data_)->reason; }

int64_t Value::integer() const {
  if (const bool* value = std::get_if<bool>(&data_)) return *value ? 1 : 0;
  return std::get<int64_t>(data_);
}

double Value::number() const {
  if (const double* value = std::get_if<double>(&data_)) return *value;
  return static_cast<double>(integer());
}

const std::string& Value::string() const { return std::get<5>(data_)->text; }
const std::vector<Value>& Value::items() const { return std::get<6>(data_)->items; }
const Dict& Value::dict() const { return *std::get<7>(data_); }
Object& Value::object() const { return *std::get<8>(data_); }
const std::shared_ptr<Object>& Value::object_pointer() const { return std::get<8>(data_); }

int Value::depth() const {
  switch (data_.index()) {
    case 6:
      return std::get<6>(data_)->depth;
    case 7:
      return dict().depth();
    case 8:
      return object().depth();
    default:
      return 1;
  }
}

int64_t Value::weight() const {
  switch (data_.index()) {
    case 5:
      return 1 + static_cast<int64_t>(string().size() / 32);
    case 6:
      return std::get<6>(data_)->weight;
    case 7:
      return dict().weight();
    case 8:
      return object().weight();
    default:
      return 1;
  }
}

bool Value::same_as(const Value& other) const {
  if (data_.index() != other.data_.index()) return false;
  switch (data_.index()) {
    case 0:
      return true;
    case 1:
      return std::get<1>(data_) == std::get<1>(other.data_);
    case 2:
      return boolean() == other.boolean();
    case 3:
      return integer() == other.integer();
    case 4:
      return number() == other.number();
    case 5:
      return std::get<5>(data_) == std::get<5>(other.data_) || string() == other.string();
    case 6:
      return std::get<6>(data_) == std::get<6>(other.data_);
    case 7:
      return std::get<7>(data_) == std::get<7>(other.data_);
    default:
      return std::get<8>(data_) == std::get<8>(other.data_);
  }
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kNone:
      return "NoneType";
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return value.is_markup() ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kObject:
      return value.object().type_name();
  }
  return "?";
}

}  // namespace ashlar::text::jinja
