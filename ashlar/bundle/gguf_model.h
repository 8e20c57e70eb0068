// What a GGUF file says of its model: the description, as a config.json of the family would give
// it, and its weights. Keys that would change the mathematics and are not understood are errors, as
// in config.json.
#pragma once

#include "ashlar/bundle/generation_config.h"
#include "ashlar/bundle/gguf_facts.h"
#include "ashlar/bundle/weights.h"
#include "ashlar/formats/gguf.h"
#include "ashlar/models/family.h"

#include <memory>
#include <string>
#include <vector>

namespace ashlar::bundle {

models::DecoderConfig gguf_config(const formats::GgufReader& file);
models::DecoderConfig gguf_config(const GgufFacts& facts);

Weights gguf_weights(std::shared_ptr<const formats::GgufReader> file,
                     const models::DecoderConfig& config);

// The token ids that begin and end a text.
GenerationConfig gguf_generation(const formats::GgufMetadata& metadata);

// The metadata of a description: the inverse of gguf_config, for files that are written.
void describe_model(const models::DecoderConfig& config, formats::GgufMetadata& metadata);
// Throws Error naming the key of config.json that a file of these facts would say otherwise: what
// its architecture computes in one way only.
void check_described(const models::DecoderConfig& config, const GgufFacts& facts);

}  // namespace ashlar::bundle
