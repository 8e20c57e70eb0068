// Encoders in GGUF files, read: BERT (RoBERTa's positions are those of a BERT there), Nomic's BERT
// and ModernBERT.
#pragma once

#include "ashlar/bundle/weights.h"
#include "ashlar/formats/gguf.h"
#include "ashlar/models/decoder_config.h"

#include <memory>

namespace ashlar::bundle {

bool is_gguf_encoder(const formats::GgufMetadata& metadata);
models::DecoderConfig gguf_encoder_config(const formats::GgufReader& file);
Weights gguf_encoder_weights(std::shared_ptr<const formats::GgufReader> file,
                             const models::DecoderConfig& config);

// "mean", "cls" or "last", as the file asks for; "" where it does not say.
std::string gguf_pooling(const formats::GgufMetadata& metadata);

}  // namespace ashlar::bundle
