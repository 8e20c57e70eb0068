// Log-probabilities and token bytes as both answer formats write them.
#pragma once

#include "ashlar/serve/protocol/json_value.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace ashlar::serve {

// JSON has no infinity: a token that cannot be gets -9999.
double finite_logprob(double logprob);

// The bytes as text, or "bytes:\xe2\x82" when they are not whole UTF-8 characters.
std::string token_text(const std::string& bytes);

JsonArray byte_values(const std::string& bytes);

// Characters that start in these bytes: summed over tokens, the length of their text.
int64_t count_characters(std::string_view bytes);

}  // namespace ashlar::serve
