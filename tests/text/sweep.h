// Compares tokenizers with what Hugging Face tokenizers made of the same files and texts
// (tests/oracles/tokenizer_sweep.py).
#pragma once

#include "tests/base/sweep_result.h"

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

namespace ashlar::text {

// One tokenizer with its cases and decodes.
void compare_with_reference(const nlohmann::json& golden, SweepResult& result);

}  // namespace ashlar::text
