#include "ashlar/serve/protocol/errors.h"

#include "ashlar/serve/protocol/json_value.h"

#include <algorithm>
#include <cmath>

namespace ashlar::serve {
namespace {

constexpr const char* kInvalidType = "invalid_request_error";

int whole_seconds(double seconds) {
  constexpr double kLongest = 3600;
  return static_cast<int>(std::ceil(std::clamp(seconds, 1.0, kLongest)));
}

}  // namespace

ApiError api_error(const Fault& fault) {
  const int retry = whole_seconds(fault.retry_after_s);
  switch (fault.kind) {
    case FaultKind::kInvalid:
      return {400, kInvalidType, "", fault.param, fault.message, 0};
    case FaultKind::kContextLength:
      return {400, kInvalidType, "context_length_exceeded", fault.param, fault.message, 0};
    case FaultKind::kModelNotFound:
      return {404, kInvalidType, "model_not_found", fault.param, fault.message, 0};
    case FaultKind::kUnsupported:
      return {501, "not_supported_error", "not_supported", fault.param, fault.message, 0};
    case FaultKind::kOverloaded:
      return {429, "rate_limit_error", "queue_full", fault.param, fault.message, retry};
    case FaultKind::kNotReady:
      return {503, "server_error", "model_loading", fault.param, fault.message, retry};
    case FaultKind::kShuttingDown:
      return {503, "server_error", "shutting_down", fault.param, fault.message, retry};
    case FaultKind::kInternal:
      break;
  }
  return {500, "server_error", "internal_error", fault.param, fault.message, 0};
}

ApiError client_error(int status, std::string_view code, std::string message) {
  return {status, kInvalidType, std::string(code), "", std::move(message), 0};
}

std::string error_body(const ApiError& error) {
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? JsonValue() : JsonValue(text);
  };
  return to_text(JsonObject{{"error", JsonObject{{"message", error.message},
                                                 {"type", error.type},
                                                 {"param", text_or_null(error.param)},
                                                 {"code", text_or_null(error.code)}}}});
}

}  // namespace ashlar::serve
