// POST /tokenize and /detokenize.
//   {"prompt": text} or {"messages": [...]} -> {"count", "max_model_len", "tokens"}
//   {"tokens": ids} -> {"prompt"}
#pragma once

#include "ashlar/serve/backend.h"
#include "ashlar/serve/protocol/rules.h"

#include <string>
#include <string_view>

namespace ashlar::serve {

struct TokenizeCall {
  Prompt prompt;
  std::string model;
};

struct DetokenizeCall {
  TokenIds ids;
  std::string model;
};

// Both throw RequestError (kInvalid).
TokenizeCall parse_tokenize(std::string_view body, const RequestRules& rules);
DetokenizeCall parse_detokenize(std::string_view body, const RequestRules& rules);

std::string tokenize_body(const TokenIds& ids, int64_t context_length);
std::string detokenize_body(const std::string& text);

}  // namespace ashlar::serve
