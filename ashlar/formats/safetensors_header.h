// The table at the head of a safetensors file: 8 bytes of little-endian length, then JSON
// {name: {dtype, shape, data_offsets}, __metadata__: {text: text}}, then the data. Every rule is
// checked: a header that passes describes tensors that cover the data exactly once.
#pragma once

#include "ashlar/formats/tensor_file.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::formats {

constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;  // as the Python package has it

struct TensorEntry : TensorSpec {
  uint64_t begin = 0, end = 0;  // bytes of the data, which start after the header
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  // in the order of their data
  std::map<std::string, std::string> metadata;
  uint64_t data_begin = 0;  // in the file
};

// `file` is the whole file; `path` is for messages. Throws Error naming file, tensor and rule.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::string& path);

// The head of a file of these tensors, data packed in this order: length, JSON and padding, so that
// the data starts at a multiple of 64 bytes. Throws for names that repeat or are not UTF-8.
std::string format_safetensors_header(std::span<const TensorSpec> tensors,
                                      const std::map<std::string, std::string>& metadata);

std::string_view safetensors_name(DType dtype);  // "BF16"
std::optional<DType> dtype_from_safetensors_name(std::string_view name);

std::string safetensors_dtype_names();  // "F64, F32, ..."

// Bytes of a tensor's data; nullopt, or an Error, where that does not fit 63 bits.
std::optional<uint64_t> data_bytes(DType dtype, std::span<const uint64_t> dims);
uint64_t data_bytes(const TensorSpec& tensor);

}  // namespace ashlar::formats
