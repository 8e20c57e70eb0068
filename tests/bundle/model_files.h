// Models that tests build: a fixture with some of its tensors or files changed.
#pragma once

#include "ashlar/tensor/tensor.h"

#include <map>
#include <string>

namespace ashlar::testing {

using Tensors = std::map<std::string, Tensor>;

std::string model_folder(const std::string& name);  // of tests/fixtures/models
Tensors read_tensors(const std::string& folder);
// A model folder of config.json's text and these tensors.
void write_model(const std::string& folder, const std::string& config, const Tensors& tensors);

bool same_bytes(const Tensor& a, const Tensor& b);

}  // namespace ashlar::testing
