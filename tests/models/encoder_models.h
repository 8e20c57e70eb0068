// The models of tests/fixtures/encoders: a config.json, the shapes of the tensors and what
// transformers computes with weights that are counter_values of their names
// (tests/oracles/torch_encoders.py).
#pragma once

#include "ashlar/bundle/bundle.h"
#include "ashlar/tensor/tensor.h"

#include <nlohmann/json.hpp>

#include <functional>
#include <string>

namespace ashlar::testing {

// Those of them that have a head for masked tokens.
inline constexpr const char* kEncodersWithHeads[] = {
    "bert_relu", "roberta_padding_5", "xlm_roberta", "nomic_theta", "modernbert_biases"};

nlohmann::json encoder_golden(const std::string& name);
Tensor counted_tensor(const std::string& name, const Shape& shape, float matrix_scale);

// Writes the golden's model into the folder, its tensors under the names that `rename` gives them,
// and its golden.json where it has one.
using Rename = std::function<std::string(const std::string&)>;
void write_encoder_model(
    const std::string& folder, const nlohmann::json& golden,
    const Rename& rename = [](const std::string& name) { return name; });

// Hidden states of the golden's two texts.
void expect_encoder_golden(const bundle::Bundle& model, const nlohmann::json& golden);

}  // namespace ashlar::testing
