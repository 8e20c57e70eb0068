// Families of encoders: how each one's config.json becomes an EncoderConfig, and how its tensors'
// names map to our parameters. A new family is one file and one line in the table of
// encoder_family.cc; decoders are in family.h.
#pragma once

#include "ashlar/models/encoder_config.h"
#include "ashlar/models/family.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::models {

struct EncoderFamily {
  std::string_view model_type;
  // What base-model checkpoints leave away from the names: "bert.".
  std::string_view prefix;
  // How the names of tensors begin (behind the prefix) that an encoding has no use for: heads.
  std::vector<std::string_view> heads;

  EncoderConfig (*parse)(HfConfig& config);
  // Covers every parameter of the encoder exactly once.
  std::vector<WeightRule> (*weights)(const EncoderConfig& config);
};

std::span<const EncoderFamily> encoder_families();
bool is_encoder(std::string_view model_type);
// Throws Error listing the decoders and encoders that are known where the type is neither's.
void check_model_type(std::string_view model_type, const std::string& where);

// text: config.json's; where: its path. Throws Error naming file and key.
EncoderConfig parse_encoder_config(std::string_view text, const std::string& where);

TensorNames tensor_names(const EncoderConfig& config);

EncoderFamily bert_family();
EncoderFamily roberta_family();
EncoderFamily xlm_roberta_family();
EncoderFamily nomic_bert_family();
EncoderFamily modernbert_family();

}  // namespace ashlar::models
