// Errors as OpenAI's clients know them: {"error": {"message", "type", "param", "code"}}.
#pragma once

#include "ashlar/serve/backend.h"

#include <string>
#include <string_view>

namespace ashlar::serve {

struct ApiError {
  int status = 500;
  std::string type;   // "invalid_request_error", "server_error", ...
  std::string code;   // "model_not_found", ...; empty: null
  std::string param;  // empty: null
  std::string message;
  int retry_after_s = 0;  // 0: no Retry-After header
};

ApiError api_error(const Fault& fault);

// A 4xx of the HTTP layer itself.
ApiError client_error(int status, std::string_view code, std::string message);

std::string error_body(const ApiError& error);

}  // namespace ashlar::serve
