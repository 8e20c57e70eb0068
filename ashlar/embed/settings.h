// How a model folder wants texts to become vectors, as sentence-transformers writes it:
// modules.json, 1_Pooling/config.json, sentence_bert_config.json,
// config_sentence_transformers.json.
#pragma once

#include "ashlar/bundle/bundle.h"
#include "ashlar/bundle/gguf_embedding.h"
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
  int64_t dimensions = 0;   // the first so many of each vector, normalised before; 0: all
  bool operator==(const EmbeddingSettings&) const = default;
};

// Whether the folder says that it embeds.
bool has_modules(const std::string& folder);

// Without modules.json: the mean of an encoder, the last token of a decoder. Throws Error naming
// the file for a module or a kind of pooling that is not known.
EmbeddingSettings read_settings(const std::string& folder, bool encoder);

// What the model's folder or GGUF file says.
EmbeddingSettings settings_of(const bundle::Bundle& model);
// Whether it is there to embed: encoders are, and decoders that say how.
bool embeds(const bundle::Bundle& model);
// As a GGUF file of the model has them; of one that does not embed, nothing.
bundle::GgufEmbedding settings_in_gguf(const bundle::Bundle& model);

// "mean", "cls", "last", "max", "mean_sqrt", "weighted_mean".
std::optional<Pooling> pooling_named(std::string_view name);
std::string_view name(Pooling pooling);

}  // namespace ashlar::embed
