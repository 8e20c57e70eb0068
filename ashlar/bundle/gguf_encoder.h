// Encoders in GGUF files: BERT (RoBERTa's positions are those of a BERT there), Nomic's BERT and
// ModernBERT, without heads.
#pragma once

#include "ashlar/bundle/weights.h"
#include "ashlar/formats/gguf.h"
#include "ashlar/models/decoder_config.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::bundle {

std::vector<std::string_view> gguf_encoder_architectures();
bool is_gguf_encoder(const formats::GgufMetadata& metadata);
models::DecoderConfig gguf_encoder_config(const formats::GgufReader& file);
Weights gguf_encoder_weights(std::shared_ptr<const formats::GgufReader> file,
                             const models::DecoderConfig& config);

// The rules under GGUF's names; merged: parts of one tensor where llama.cpp's converter has them
// so.
struct GgufMerged {
  bool qkv = false, gate = false;
};
std::vector<models::WeightRule> gguf_encoder_rules(const models::DecoderConfig& config,
                                                   const GgufMerged& merged);
GgufMerged gguf_encoder_merged(const models::DecoderConfig& config);

// The model as its architecture has it: RoBERTa as BERT, whose first position is the table's first
// row.
models::DecoderConfig as_gguf_encoder(const models::DecoderConfig& config);
// general.architecture and the metadata of a description that is as said. Throws Error naming the
// key of config.json that a file would say otherwise.
void describe_encoder(const models::DecoderConfig& config, formats::GgufMetadata& metadata);

}  // namespace ashlar::bundle
