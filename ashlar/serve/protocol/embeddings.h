// POST /v1/embeddings: OpenAI's embeddings.
#pragma once

#include "ashlar/serve/backend.h"
#include "ashlar/serve/protocol/rules.h"

#include <string>
#include <string_view>

namespace ashlar::serve {

struct EmbedCall {
  EmbedRequest request;
  std::string model;
  bool base64 = false;  // little-endian f32, as OpenAI's own client asks for by default
};

// Throws RequestError (kInvalid).
EmbedCall parse_embed(std::string_view body, const RequestRules& rules);

std::string embeddings_body(const Embeddings& embeddings, const std::string& model, bool base64);

}  // namespace ashlar::serve
