// What a GGUF file says of its model: the description, as a config.json of the family would give
// it, and the rules of its tensors. Keys that would change the mathematics and are not understood
// are errors, as in config.json.
#pragma once

#include "ashlar/bundle/generation_config.h"
#include "ashlar/bundle/weights.h"
#include "ashlar/formats/gguf.h"
#include "ashlar/models/family.h"

#include <memory>
#include <string>
#include <vector>

namespace ashlar::bundle {

models::DecoderConfig gguf_config(const formats::GgufReader& file);

// The rules of the config's family under GGUF's names: matrices [outputs, inputs], experts in one.
std::vector<models::WeightRule> gguf_rules(const models::DecoderConfig& config);

Weights gguf_weights(std::shared_ptr<const formats::GgufReader> file,
                     const models::DecoderConfig& config);

// The token ids that begin and end a text.
GenerationConfig gguf_generation(const formats::GgufMetadata& metadata);

// The metadata of a description: the inverse of gguf_config, for files that are written.
void describe_model(const models::DecoderConfig& config, formats::GgufMetadata& metadata);

}  // namespace ashlar::bundle
