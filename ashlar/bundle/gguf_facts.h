// What a model's description is read from: the metadata of a GGUF file, names and shapes of its
// tensors, and the numbers of the small ones that belong to the description (rotary factors).
#pragma once

#include "ashlar/formats/gguf_metadata.h"
#include "ashlar/formats/tensor_file.h"

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ashlar::bundle {

struct GgufFacts {
  const formats::GgufMetadata& metadata;
  // Null where the file has no such tensor.
  std::function<const formats::TensorSpec*(const std::string& name)> tensor;
  std::function<std::vector<float>(const std::string& name)> values;

  bool has(const std::string& name) const { return tensor(name) != nullptr; }
};

// Keys of config.json with their values as JSON.
using ConfigKeys = std::vector<std::pair<std::string, std::string>>;

// Throws Error naming the key of config.json, as it is, that a file would say otherwise. Numbers
// count as the same where they are once they have been f32.
void check_said(std::string_view architecture, const std::string& ours, const std::string& said);

// A number as JSON, as people write it: 1e-05f gives 1e-05, not the double next to it.
std::string json_number(double value);

}  // namespace ashlar::bundle
