// Compares tokenizers with what Hugging Face tokenizers made of the same files and texts
// (tests/oracles/tokenizer_sweep.py).
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

namespace ashlar::text {

struct SweepResult {
  int checked = 0, refused = 0;
  std::vector<std::string> differences;  // one line each
};

// One tokenizer with its cases and decodes.
void compare_with_reference(const nlohmann::json& golden, SweepResult& result);

}  // namespace ashlar::text
