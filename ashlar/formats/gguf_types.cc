// GGUF's numbers for the types of tensors.
#include "ashlar/base/error.h"
#include "ashlar/formats/gguf_header.h"

#include <array>
#include <utility>

namespace ashlar::formats {
namespace {

constexpr std::array<std::pair<uint32_t, DType>, 19> kTypes = {{
    {0, DType::kF32},    {1, DType::kF16},  {2, DType::kQ4_0},  {3, DType::kQ4_1},
    {6, DType::kQ5_0},   {7, DType::kQ5_1}, {8, DType::kQ8_0},  {10, DType::kQ2K},
    {11, DType::kQ3K},   {12, DType::kQ4K}, {13, DType::kQ5K},  {14, DType::kQ6K},
    {20, DType::kIQ4NL}, {24, DType::kI8},  {25, DType::kI16},  {26, DType::kI32},
    {27, DType::kI64},   {28, DType::kF64}, {30, DType::kBF16},
}};

constexpr std::array<std::pair<uint32_t, std::string_view>, 16> kForeign = {{
    {4, "Q4_2"},
    {5, "Q4_3"},
    {9, "Q8_1"},
    {15, "Q8_K"},
    {16, "IQ2_XXS"},
    {17, "IQ2_XS"},
    {18, "IQ3_XXS"},
    {19, "IQ1_S"},
    {21, "IQ3_S"},
    {22, "IQ2_S"},
    {23, "IQ4_XS"},
    {29, "IQ1_M"},
    {34, "TQ1_0"},
    {35, "TQ2_0"},
    {39, "MXFP4"},
    {40, "NVFP4"},
}};

}  // namespace

uint32_t gguf_type(DType dtype) {
  for (const auto& [type, known] : kTypes) {
    if (known == dtype) return type;
  }
  fail("gguf: has no tensors of {}", name(dtype));
}

std::optional<DType> dtype_from_gguf_type(uint32_t type) {
  for (const auto& [known, dtype] : kTypes) {
    if (known == type) return dtype;
  }
  return std::nullopt;
}

std::string_view foreign_gguf_type(uint32_t type) {
  for (const auto& [known, text] : kForeign) {
    if (known == type) return text;
  }
  return {};
}

uint64_t padded_bytes(uint64_t bytes, int64_t alignment) {
  const auto step = static_cast<uint64_t>(alignment);
  return (bytes + step - 1) / step * step;
}

}  // namespace ashlar::formats
