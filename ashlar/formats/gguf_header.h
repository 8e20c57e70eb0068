// The head of a GGUF file (version 2 or 3, little-endian): magic, version, counts, metadata, then
// name, dims, type and offset of each tensor; the data follows at a multiple of general.alignment.
// Every rule is checked: what passes describes tensors that lie in the file and do not overlap.
#pragma once

#include "ashlar/formats/gguf_metadata.h"
#include "ashlar/formats/tensor_file.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::formats {

constexpr int64_t kGgufAlignment = 32;  // where the file does not say

struct GgufTensor : TensorSpec {
  uint64_t offset = 0;  // from the start of the data
  uint64_t bytes = 0;
};

struct GgufHeader {
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;  // in the order of their data
  uint64_t data_begin = 0;          // in the file
  int64_t alignment = kGgufAlignment;
  uint32_t version = 3;
};

// Whether a file begins as GGUF does.
bool is_gguf(std::span<const std::byte> file);

// `file` is the whole file; `path` is for messages. Throws Error naming file, tensor and rule.
// Allocates at most a few times the header's size.
GgufHeader parse_gguf_header(std::span<const std::byte> file, const std::string& path);

// The head of a file of these tensors, whose data lies in this order, each at a multiple of the
// alignment; padded to where the data starts. Throws for names that repeat.
std::string format_gguf_header(const GgufMetadata& metadata, std::span<const TensorSpec> tensors);

// The type's number in files; Error for a dtype that GGUF does not have.
uint32_t gguf_type(DType dtype);
std::optional<DType> dtype_from_gguf_type(uint32_t type);
// "IQ2_XS" for a type that GGUF has and this program has not, "" for what is none.
std::string_view foreign_gguf_type(uint32_t type);

// Bytes from one tensor to the next.
uint64_t padded_bytes(uint64_t bytes, int64_t alignment);

}  // namespace ashlar::formats
