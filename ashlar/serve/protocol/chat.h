// POST /v1/chat/completions: OpenAI's chat completions.
#pragma once

#include "ashlar/serve/protocol/call.h"

#include <string_view>

namespace ashlar::serve {

// Throws RequestError (kInvalid).
GenerateCall parse_chat(std::string_view body, const RequestRules& rules);

}  // namespace ashlar::serve
