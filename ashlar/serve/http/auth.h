// API keys: "Authorization: Bearer KEY" or "x-api-key: KEY". Comparing takes the same time for
// every key of a length, so answers leak nothing of a key.
#pragma once

#include "ashlar/serve/http/message.h"

#include <span>
#include <string>

namespace ashlar::serve {

// True when no keys are set or the request carries one of them.
bool has_key(const HttpRequest& request, std::span<const std::string> keys);

}  // namespace ashlar::serve
