// Compares tokenizers inside GGUF files with the ids that llama.cpp gave for the same vocabularies
// (tests/oracles/gguf_vocabularies.py).
#pragma once

#include "tests/base/sweep_result.h"

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

namespace ashlar::testing {

// One vocabulary with its texts.
void compare_with_llamacpp(const nlohmann::json& golden, SweepResult& result);

}  // namespace ashlar::testing
