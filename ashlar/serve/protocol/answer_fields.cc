#include "ashlar/serve/protocol/answer_fields.h"

namespace ashlar::serve {

std::string_view finish_reason(FinishReason reason) {
  return reason == FinishReason::kStop ? "stop" : "length";
}

JsonObject usage_object(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", JsonObject{{"cached_tokens", usage.cached_tokens}}}};
}

JsonArray id_array(const TokenIds& ids) { return {ids.begin(), ids.end()}; }

}  // namespace ashlar::serve
