// A parsed JSON document that is read strictly: each access states the kind it wants, and a
// mismatch is an Error naming the file, the path of the value (model.merges[3]), what stands there
// and what was wanted. Keeps the JSON library out of headers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ashlar::text {

class JsonDocument;

// A value inside a JsonDocument, which must outlive it.
class JsonView {
 public:
  bool is_null() const;
  bool is_string() const;
  bool is_object() const;
  bool is_array() const;

  // Of an object. find: nothing when the key is absent or null; at: an Error then.
  std::optional<JsonView> find(std::string_view key) const;
  JsonView at(std::string_view key) const;
  size_t members() const;
  void each_member(const std::function<void(std::string_view key, JsonView value)>& visit) const;

  // Of an array.
  size_t size() const;
  JsonView element(size_t index) const;

  // The string lives as long as the document.
  std::string_view string() const;
  bool boolean() const;
  // A whole number within [low, high].
  int64_t integer(int64_t low, int64_t high) const;
  double number() const;

  // An optional member with a default.
  bool boolean_or(std::string_view key, bool fallback) const;
  std::string_view string_or(std::string_view key, std::string_view fallback) const;

  std::string place() const;  // "<file>: <path>"
  // Throws "<place>: <message>".
  [[noreturn]] void fail(const std::string& message) const;

 private:
  friend class JsonDocument;
  JsonView(const JsonDocument* document, const void* node) : document_(document), node_(node) {}
  [[noreturn]] void fail_kind(std::string_view wanted) const;
  JsonView of(const void* node) const { return {document_, node}; }

  const JsonDocument* document_;
  const void* node_;
};

class JsonDocument {
 public:
  // where: the name messages give the document, usually its path. Throws Error on text that is not
  // JSON (with the byte) or nests deeper than 64 levels.
  JsonDocument(std::string_view text, std::string where);
  ~JsonDocument();
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;

  JsonView root() const;
  const std::string& where() const { return where_; }

 private:
  friend class JsonView;
  struct Nodes;
  std::unique_ptr<Nodes> nodes_;
  std::string where_;
};

}  // namespace ashlar::text
