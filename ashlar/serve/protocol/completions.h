// POST /v1/completions: OpenAI's text completions.
#pragma once

#include "ashlar/serve/protocol/call.h"

#include <string_view>

namespace ashlar::serve {

// Throws RequestError (kInvalid).
GenerateCall parse_completion(std::string_view body, const RequestRules& rules);

}  // namespace ashlar::serve
