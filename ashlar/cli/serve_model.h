// A model folder as the server shows and uses it, all but its weights.
#pragma once

#include "ashlar/bundle/bundle.h"
#include "ashlar/cli/serve_config.h"
#include "ashlar/embed/embedder.h"
#include "ashlar/serve/engine_core.h"

#include <cstdint>
#include <string>

namespace ashlar::cli {

// Tokenizer and template as far as the model has them; what it lacks is refused request by request.
// weight_version is left open.
serve::EngineModel engine_model(const bundle::Bundle& bundle, const ServeConfig& config,
                                int64_t context);

// Of a model that embeds.
serve::ModelInfo embedding_info(const embed::Embedder& embedder, const ServeConfig& config);

// What requests get that leave it open, and where that comes from.
std::string sampling_line(const bundle::Bundle& bundle, const ServeConfig& config);

}  // namespace ashlar::cli
