// The key-value table at the head of a GGUF file: scalars, strings and arrays of them, in the order
// of the file. Reads by kind; a key that is missing or of another kind is an Error that names it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ashlar::formats {

// The numbers are the file's.
enum class GgufKind : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

std::string_view name(GgufKind kind);
bool is_integer(GgufKind kind);
bool is_real(GgufKind kind);

// A scalar is an array of one that is not written as such. One of the vectors is in use.
struct GgufValue {
  GgufKind kind = GgufKind::kU32;  // of the elements
  bool array = false;
  std::vector<int64_t> integers{};  // booleans too; of u64 the same bits
  std::vector<double> reals{};
  std::vector<std::string> strings{};

  size_t size() const { return integers.size() + reals.size() + strings.size(); }
  std::string str(size_t most = 8) const;  // as inspect shows it, long arrays cut
  bool operator==(const GgufValue&) const = default;
};

class GgufMetadata {
 public:
  explicit GgufMetadata(std::string where = "gguf") : where_(std::move(where)) {}

  const std::string& where() const { return where_; }
  const std::vector<std::pair<std::string, GgufValue>>& entries() const { return entries_; }

  bool contains(const std::string& key) const { return places_.contains(key); }
  const GgufValue* find(const std::string& key) const;
  // Throws Error where the key is there already.
  void add(std::string key, GgufValue value);

  // Without a fallback the key is required.
  int64_t integer(const std::string& key, std::optional<int64_t> fallback = std::nullopt) const;
  // The same where a list may give the value of each layer, all equal.
  int64_t uniform(const std::string& key, std::optional<int64_t> fallback = std::nullopt) const;
  double number(const std::string& key, std::optional<double> fallback = std::nullopt) const;
  bool flag(const std::string& key, bool fallback) const;
  const std::string& text(const std::string& key) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  // Arrays; empty where the key is missing.
  const std::vector<int64_t>& integers(const std::string& key) const;
  const std::vector<double>& numbers(const std::string& key) const;
  const std::vector<std::string>& texts(const std::string& key) const;

  // To be written.
  void set(const std::string& key, std::string_view text);
  void set(const std::string& key, const char* text) { set(key, std::string_view(text)); }
  void set(const std::string& key, bool flag);
  void set_u32(const std::string& key, int64_t value);
  void set_f32(const std::string& key, double value);
  void set_texts(const std::string& key, std::vector<std::string> texts);
  void set_bytes(const std::string& key, std::vector<int64_t> values);
  void set_i32s(const std::string& key, std::vector<int64_t> values);
  void set_f32s(const std::string& key, std::vector<double> values);

 private:
  const GgufValue& require(const std::string& key) const;
  [[noreturn]] void wrong(const std::string& key, const GgufValue& found,
                          std::string_view wanted) const;

  std::string where_;
  std::vector<std::pair<std::string, GgufValue>> entries_;
  std::unordered_map<std::string, size_t> places_;
};

}  // namespace ashlar::formats
