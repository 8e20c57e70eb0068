#include "ashlar/formats/safetensors_header.h"

#include "ashlar/base/error.h"
#include "ashlar/base/shown_text.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <utility>

namespace ashlar::formats {
namespace {

constexpr uint64_t kAlignment = 64;

constexpr std::array<std::pair<std::string_view, DType>, 12> kDTypes = {{
    {"F64", DType::kF64},
    {"F32", DType::kF32},
    {"BF16", DType::kBF16},
    {"F16", DType::kF16},
    {"I64", DType::kI64},
    {"I32", DType::kI32},
    {"U32", DType::kU32},
    {"I16", DType::kI16},
    {"U16", DType::kU16},
    {"I8", DType::kI8},
    {"U8", DType::kU8},
    {"BOOL", DType::kBool},
}};

}  // namespace

std::string_view safetensors_name(DType dtype) {
  const auto* found =
      std::ranges::find(kDTypes, dtype, &std::pair<std::string_view, DType>::second);
  ASHLAR_CHECK(found != kDTypes.end(), "safetensors: has no {}; convert to bf16, f16 or f32",
               name(dtype));
  return found->first;
}

std::optional<DType> dtype_from_safetensors_name(std::string_view name) {
  for (const auto& [known, dtype] : kDTypes) {
    if (known == name) return dtype;
  }
  return std::nullopt;
}

std::string safetensors_dtype_names() {
  std::vector<std::string_view> names;
  for (const auto& entry : kDTypes) names.push_back(entry.first);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::optional<uint64_t> data_bytes(DType dtype, std::span<const uint64_t> dims) {
  // The dims beside a zero may be anything, so their product is checked all the same.
  int64_t bytes = size_of(dtype);
  bool none = false;
  for (const uint64_t dim : dims) {
    if (dim > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
    none = none || dim == 0;
    if (dim != 0 && __builtin_mul_overflow(bytes, static_cast<int64_t>(dim), &bytes)) {
      return std::nullopt;
    }
  }
  return none ? 0 : static_cast<uint64_t>(bytes);
}

uint64_t data_bytes(const TensorSpec& tensor) {
  const auto dims = tensor.shape.dims();
  const auto bytes = data_bytes(tensor.dtype, std::vector<uint64_t>(dims.begin(), dims.end()));
  ASHLAR_CHECK(bytes, "safetensors: cannot write tensor {}: its shape {} overflows",
               shown_text(tensor.name), tensor.shape.str());
  return *bytes;
}

std::string format_safetensors_header(std::span<const TensorSpec> tensors,
                                      const std::map<std::string, std::string>& metadata) {
  std::string json = "{";
  try {
    if (!metadata.empty()) json += "\"__metadata__\":" + nlohmann::json(metadata).dump() + ",";
    std::set<std::string_view> names = {"__metadata__"};
    uint64_t offset = 0;
    for (const TensorSpec& tensor : tensors) {
      ASHLAR_CHECK(names.insert(tensor.name).second,
                   "safetensors: cannot write tensor {}: the name is taken",
                   shown_text(tensor.name));
      const uint64_t end = offset + data_bytes(tensor);
      json += fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}},",
                          nlohmann::json(tensor.name).dump(), safetensors_name(tensor.dtype),
                          fmt::join(tensor.shape.dims(), ","), offset, end);
      offset = end;
    }
  } catch (const nlohmann::json::exception&) {
    fail("safetensors: cannot write a tensor name or metadata that is not UTF-8");
  }
  if (json.back() == ',') json.pop_back();
  json += '}';
  json.append((kAlignment - (sizeof(uint64_t) + json.size()) % kAlignment) % kAlignment, ' ');
  ASHLAR_CHECK(json.size() <= kMaxSafetensorsHeader,
               "safetensors: cannot write a header of {} bytes, at most {} are allowed",
               json.size(), kMaxSafetensorsHeader);
  const uint64_t length = json.size();
  std::string head(sizeof(length), '\0');
  std::memcpy(head.data(), &length, sizeof(length));
  return head + json;
}

}  // namespace ashlar::formats
