// How a model folder wants texts to become vectors, as sentence-transformers writes it:
// modules.json, 1_Pooling/config.json, sentence_bert_config.json,
// config_sentence_transformers.json.
#pragma once

#include "ashlar/embed/pooling.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ashlar::embed {

struct EmbeddingSettings {
  Pooling pooling = Pooling::kMean;
  bool normalize = false;
  int64_t max_tokens = 0;  // what is longer is cut off; 0: as long as the model allows
  bool lower_case = false;
  std::string prompt = {};  // put before every text
  bool operator==(const EmbeddingSettings&) const = default;
};

// Whether the folder says that it embeds.
bool has_modules(const std::string& folder);

// Without modules.json: the mean of an encoder, the last token of a decoder. Throws Error naming
// the file for a module or a kind of pooling that is not known.
EmbeddingSettings read_settings(const std::string& folder, bool encoder);

// "mean", "cls", "last", "max", "mean_sqrt", "weighted_mean".
std::optional<Pooling> pooling_named(std::string_view name);
std::string_view name(Pooling pooling);

}  // namespace ashlar::embed
