#include "ashlar/text/json_view.h"

#include "ashlar/base/error.h"
#include "ashlar/base/lfs_pointer.h"

#include <nlohmann/json.hpp>

namespace ashlar::text {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 64;

const Json& json(const void* node) { return *static_cast<const Json*>(node); }

// A number or a short string is shown as it is, anything else by its kind.
std::string shown(const Json& value) {
  if (value.is_number() || value.is_boolean()) return value.dump();
  if (value.is_string() && value.get_ref<const std::string&>().size() <= 40) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  return value.is_null() ? "null" : fmt::format("an {}", value.type_name());
}

// The path from `node` to `wanted`, for messages only: walks the document until it meets `wanted`.
bool find_path(const Json& node, const Json& wanted, std::string& path) {
  if (&node == &wanted) return true;
  const size_t length = path.size();
  if (node.is_object()) {
    for (const auto& [key, value] : node.items()) {
      path += (path.empty() ? "" : ".") + key;
      if (find_path(value, wanted, path)) return true;
      path.resize(length);
    }
  } else if (node.is_array()) {
    for (size_t i = 0; i < node.size(); ++i) {
      path += fmt::format("[{}]", i);
      if (find_path(node[i], wanted, path)) return true;
      path.resize(length);
    }
  }
  return false;
}

void check_depth(std::string_view text, const std::string& where) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ASHLAR_CHECK(++depth <= kMaxDepth, "{}: byte {}: JSON nests deeper than {} levels", where, i,
                   kMaxDepth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
}

}  // namespace

struct JsonDocument::Nodes {
  Json root;
};

JsonDocument::JsonDocument(std::string_view text, std::string where)
    : nodes_(std::make_unique<Nodes>()), where_(std::move(where)) {
  check_no_lfs_pointer(text, where_);
  check_depth(text, where_);
  try {
    nodes_->root = Json::parse(text);
  } catch (const Json::parse_error& error) {
    fail("{}: byte {}: not JSON; the file is damaged or of another kind", where_, error.byte);
  } catch (const Json::exception& error) {  // a number beyond all ranges
    fail("{}: not JSON that can be read: {}", where_, error.what());
  }
}

JsonDocument::~JsonDocument() = default;

JsonView JsonDocument::root() const { return {this, &nodes_->root}; }

bool JsonView::is_null() const { return json(node_).is_null(); }
bool JsonView::is_string() const { return json(node_).is_string(); }
bool JsonView::is_object() const { return json(node_).is_object(); }
bool JsonView::is_array() const { return json(node_).is_array(); }

std::optional<JsonView> JsonView::find(std::string_view key) const {
  if (!is_object()) fail_kind("an object");
  const auto member = json(node_).find(std::string(key));
  if (member == json(node_).end() || member->is_null()) return std::nullopt;
  return of(&*member);
}

JsonView JsonView::at(std::string_view key) const {
  const std::optional<JsonView> member = find(key);
  if (!member) fail(fmt::format("key \"{}\" is missing", key));
  return *member;
}

size_t JsonView::members() const {
  if (!is_object()) fail_kind("an object");
  return json(node_).size();
}

void JsonView::each_member(
    const std::function<void(std::string_view key, JsonView value)>& visit) const {
  if (!is_object()) fail_kind("an object");
  for (const auto& [key, value] : json(node_).get_ref<const Json::object_t&>()) {
    visit(key, of(&value));
  }
}

size_t JsonView::size() const {
  if (!is_array()) fail_kind("an array");
  return json(node_).size();
}

JsonView JsonView::element(size_t index) const {
  if (!is_array()) fail_kind("an array");
  if (index >= json(node_).size()) fail(fmt::format("has no element {}", index));
  return of(&json(node_)[index]);
}

std::string_view JsonView::string() const {
  if (!is_string()) fail_kind("a string");
  return json(node_).get_ref<const std::string&>();
}

bool JsonView::boolean() const {
  if (!json(node_).is_boolean()) fail_kind("true or false");
  return json(node_).get<bool>();
}

int64_t JsonView::integer(int64_t low, int64_t high) const {
  const Json& value = json(node_);
  const bool too_large = value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX;
  if (!value.is_number_integer() || too_large || value.get<int64_t>() < low ||
      value.get<int64_t>() > high) {
    fail_kind(fmt::format("a whole number from {} to {}", low, high));
  }
  return value.get<int64_t>();
}

double JsonView::number() const {
  if (!json(node_).is_number()) fail_kind("a number");
  return json(node_).get<double>();
}

bool JsonView::boolean_or(std::string_view key, bool fallback) const {
  const auto member = find(key);
  return member ? member->boolean() : fallback;
}

std::string_view JsonView::string_or(std::string_view key, std::string_view fallback) const {
  const auto member = find(key);
  return member ? member->string() : fallback;
}

void JsonView::fail_kind(std::string_view wanted) const {
  fail(fmt::format("found {}, wanted {}", shown(json(node_)), wanted));
}

std::string JsonView::place() const {
  std::string path;
  find_path(document_->nodes_->root, json(node_), path);
  return document_->where() + (path.empty() ? "" : ": ") + path;
}

void JsonView::fail(const std::string& message) const { ashlar::fail("{}: {}", place(), message); }

}  // namespace ashlar::text
