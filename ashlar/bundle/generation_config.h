// generation_config.json: the token ids that begin and end a text, and the sampling its authors
// recommend. A field that is not set was not in the file.
#pragma once

#include "ashlar/models/decoder_config.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::bundle {

struct GenerationConfig {
  std::optional<int64_t> bos, pad;
  std::vector<int64_t> eos;  // any of them ends a text
  std::optional<bool> do_sample;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k, max_new_tokens;
};

// where: the file, for messages.
GenerationConfig parse_generation_config(std::string_view text, const std::string& where);
// What a config.json says about it.
GenerationConfig generation_config(const models::DecoderConfig& config);
// For a model that brings none: its token ids alone.
std::string write_generation_config(const models::DecoderConfig& config);

}  // namespace ashlar::bundle
