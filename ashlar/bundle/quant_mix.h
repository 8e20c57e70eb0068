// Which type each tensor of a GGUF file gets: the mixes of types that llama.cpp's users know by
// name ("q4_k_m"), with its rules for single tensors.
#pragma once

#include "ashlar/models/decoder_config.h"
#include "ashlar/tensor/dtype.h"
#include "ashlar/tensor/shape.h"

#include <string>
#include <string_view>

namespace ashlar::bundle {

struct QuantMix {
  std::string_view name;
  int file_type;  // of general.file_type
  DType type;     // of most matrices
};

// Throws UsageError that lists the names. "q4_k" is "q4_k_m", as there.
const QuantMix& find_quant_mix(const std::string& name);
// The mix that keeps what is stored as it is: f32, f16 or bf16.
const QuantMix& plain_mix(DType dtype);
std::string quant_mix_names();

// tensor: GGUF's name. Vectors, norms, routers and positions stay f32; rows that are no whole
// blocks of a type take the next one of smaller blocks, as llama.cpp does.
DType tensor_type(const QuantMix& mix, const std::string& tensor, const Shape& shape,
                  const models::DecoderConfig& config);

}  // namespace ashlar::bundle
