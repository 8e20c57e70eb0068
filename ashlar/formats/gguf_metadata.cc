#include "ashlar/formats/gguf_metadata.h"

#include "ashlar/base/error.h"
#include "ashlar/base/shown_text.h"
#include "ashlar/formats/safetensors_header.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace ashlar::formats {
namespace {

constexpr std::array<std::string_view, 13> kNames = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

template <typename T>
const std::vector<T>& none() {
  static const std::vector<T> empty;
  return empty;
}

}  // namespace

std::string_view name(GgufKind kind) { return kNames.at(static_cast<size_t>(kind)); }

bool is_integer(GgufKind kind) {
  return !is_real(kind) && kind != GgufKind::kString && kind != GgufKind::kArray &&
         kind != GgufKind::kBool;
}

bool is_real(GgufKind kind) { return kind == GgufKind::kF32 || kind == GgufKind::kF64; }

std::string GgufValue::str(size_t most) const {
  const auto element = [&](size_t i) -> std::string {
    if (kind == GgufKind::kString) return array ? shown_text(strings[i]) : strings[i];
    if (kind == GgufKind::kBool) return integers[i] != 0 ? "true" : "false";
    if (kind == GgufKind::kU64) return fmt::format("{}", static_cast<uint64_t>(integers[i]));
    return is_real(kind) ? fmt::format("{:.9g}", reals[i]) : fmt::format("{}", integers[i]);
  };
  if (!array) return element(0);
  std::string text = "[";
  for (size_t i = 0; i < std::min(most, size()); ++i) text += (i > 0 ? ", " : "") + element(i);
  if (size() > most) text += fmt::format(", ... {} in all", size());
  return text + "]";
}

const GgufValue* GgufMetadata::find(const std::string& key) const {
  const auto place = places_.find(key);
  return place == places_.end() ? nullptr : &entries_[place->second].second;
}

void GgufMetadata::add(std::string key, GgufValue value) {
  ASHLAR_CHECK(places_.emplace(key, entries_.size()).second, "{}: key {} appears twice", where_,
               shown_text(key));
  entries_.emplace_back(std::move(key), std::move(value));
}

const GgufValue& GgufMetadata::require(const std::string& key) const {
  const GgufValue* value = find(key);
  ASHLAR_CHECK(value != nullptr, "{}: key '{}' is missing", where_, key);
  return *value;
}

void GgufMetadata::wrong(const std::string& key, const GgufValue& found,
                         std::string_view wanted) const {
  fail("{}: {} is {}{}, wanted {}", where_, key, found.array ? "an array of " : "",
       name(found.kind), wanted);
}

int64_t GgufMetadata::integer(const std::string& key, std::optional<int64_t> fallback) const {
  if (fallback && !contains(key)) return *fallback;
  const GgufValue& value = require(key);
  if (value.array || !is_integer(value.kind)) wrong(key, value, "an integer");
  ASHLAR_CHECK(value.kind != GgufKind::kU64 || value.integers[0] >= 0,
               "{}: {} is {}, wanted at most {}", where_, key, value.str(), INT64_MAX);
  return value.integers[0];
}

int64_t GgufMetadata::uniform(const std::string& key, std::optional<int64_t> fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr || !value->array) return integer(key, fallback);
  const std::vector<int64_t>& values = value->integers;
  const bool same = std::ranges::all_of(values, [&](int64_t v) { return v == values.front(); });
  if (!is_integer(value->kind) || values.empty() || !same) {
    wrong(key, *value, "an integer, or one for each layer, all equal");
  }
  return values.front();
}

double GgufMetadata::number(const std::string& key, std::optional<double> fallback) const {
  if (fallback && !contains(key)) return *fallback;
  const GgufValue& value = require(key);
  if (!value.array && is_real(value.kind)) {
    const double real = value.reals[0];
    ASHLAR_CHECK(std::isfinite(real), "{}: {} is {}, wanted a finite number", where_, key, real);
    return real;
  }
  if (value.array || !is_integer(value.kind)) wrong(key, value, "a number");
  return static_cast<double>(value.integers[0]);
}

bool GgufMetadata::flag(const std::string& key, bool fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return fallback;
  if (value->array || value->kind != GgufKind::kBool) wrong(key, *value, "a bool");
  return value->integers[0] != 0;
}

const std::string& GgufMetadata::text(const std::string& key) const {
  const GgufValue& value = require(key);
  if (value.array || value.kind != GgufKind::kString) wrong(key, value, "a string");
  return value.strings[0];
}

std::string GgufMetadata::text(const std::string& key, const std::string& fallback) const {
  return contains(key) ? text(key) : fallback;
}

const std::vector<int64_t>& GgufMetadata::integers(const std::string& key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return none<int64_t>();
  if (!value->array || !(is_integer(value->kind) || value->kind == GgufKind::kBool)) {
    wrong(key, *value, "an array of integers");
  }
  return value->integers;
}

const std::vector<double>& GgufMetadata::numbers(const std::string& key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return none<double>();
  if (!value->array || !is_real(value->kind)) wrong(key, *value, "an array of f32");
  return value->reals;
}

const std::vector<std::string>& GgufMetadata::texts(const std::string& key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return none<std::string>();
  if (!value->array || value->kind != GgufKind::kString) wrong(key, *value, "an array of strings");
  return value->strings;
}

void GgufMetadata::set(const std::string& key, std::string_view text) {
  add(key, {.kind = GgufKind::kString, .strings = {std::string(text)}});
}
void GgufMetadata::set(const std::string& key, bool flag) {
  add(key, {.kind = GgufKind::kBool, .integers = {flag ? 1 : 0}});
}
void GgufMetadata::set_u32(const std::string& key, int64_t value) {
  ASHLAR_CHECK(value >= 0 && value <= UINT32_MAX, "{}: {} is {}, which is no u32", where_, key,
               value);
  add(key, {.kind = GgufKind::kU32, .integers = {value}});
}
void GgufMetadata::set_f32(const std::string& key, double value) {
  add(key, {.kind = GgufKind::kF32, .reals = {value}});
}
void GgufMetadata::set_texts(const std::string& key, std::vector<std::string> texts) {
  add(key, {.kind = GgufKind::kString, .array = true, .strings = std::move(texts)});
}
void GgufMetadata::set_bytes(const std::string& key, std::vector<int64_t> values) {
  add(key, {.kind = GgufKind::kU8, .array = true, .integers = std::move(values)});
}
void GgufMetadata::set_i32s(const std::string& key, std::vector<int64_t> values) {
  add(key, {.kind = GgufKind::kI32, .array = true, .integers = std::move(values)});
}
void GgufMetadata::set_f32s(const std::string& key, std::vector<double> values) {
  add(key, {.kind = GgufKind::kF32, .array = true, .reals = std::move(values)});
}

}  // namespace ashlar::formats
