// generation_config.json: the token ids that begin and end a text, and the sampling its authors
// recommend. A field that is not set was not in the file.
#pragma once

#include "ashlar/formats/gguf_metadata.h"
#include "ashlar/models/decoder_config.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::bundle {

struct GenerationConfig {
  std::optional<int64_t> bos, pad;
  std::vector<int64_t> eos;                                             // any of them ends a text
  std::optional<double> temperature, top_p, min_p, repetition_penalty;  // do_sample false: 0
  std::optional<int64_t> top_k, max_new_tokens;
  std::vector<std::string> unread;  // keys that would change answers
};

// where: the file, for messages.
GenerationConfig parse_generation_config(std::string_view text, const std::string& where);
// What a config.json says about it.
GenerationConfig generation_config(const models::DecoderConfig& config);
// Warns of the keys in `unread`.
void note_unread(const GenerationConfig& config, const std::string& model);

std::string write_generation_config(const GenerationConfig& config);

// What GGUF has of it besides token ids: the keys general.sampling.*.
void read_gguf_sampling(const formats::GgufMetadata& metadata, GenerationConfig& config);
void write_gguf_sampling(const GenerationConfig& config, formats::GgufMetadata& metadata);

}  // namespace ashlar::bundle
