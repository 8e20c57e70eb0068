// Compares tokenizers inside GGUF files with the ids that llama.cpp gave for the same vocabularies
// (tests/oracles/gguf_vocabularies.py).
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

namespace ashlar::testing {

struct VocabularySweep {
  int checked = 0;
  std::vector<std::string> differences;  // one line each
};

// One vocabulary with its texts.
void compare_with_llamacpp(const nlohmann::json& golden, VocabularySweep& result);

}  // namespace ashlar::testing
