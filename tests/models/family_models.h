// The models of tests/fixtures/families: a config.json and what transformers computes with weights
// that are counter_values of their tensors' names (tests/oracles/torch_families.py).
#pragma once

#include <string>
#include <vector>

namespace ashlar::testing {

// Names of folders there, in order.
std::vector<std::string> family_models();

// Writes the model with its weights and golden.json into the folder and returns its path.
std::string make_family_model(const std::string& name, const std::string& folder);

// Writes a model with that config.json and such weights into the folder, which it makes.
void make_counted_model(const std::string& config_json, const std::string& folder);

}  // namespace ashlar::testing
