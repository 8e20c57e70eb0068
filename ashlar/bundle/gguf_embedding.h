// How a GGUF file wants texts to become vectors. The kind of pooling has a key that llama.cpp
// reads; the rest of what sentence-transformers says stands in keys of ours, which it passes over.
#pragma once

#include "ashlar/formats/gguf_metadata.h"

#include <cstdint>
#include <map>
#include <string>

namespace ashlar::bundle {

struct GgufEmbedding {
  std::string pooling = {};  // "mean", "cls" or "last"; "": the file does not say that it embeds
  bool normalize = false;
  int64_t max_tokens = 0;  // 0: not said
  bool lower_case = false;
  std::string prompt = {};
  int64_t dimensions = 0;  // the first so many of each vector; 0: all
  bool operator==(const GgufEmbedding&) const = default;
};

// Vectors of a file that has a kind of pooling and none of our keys have length 1: so llama.cpp's
// own programs make them.
GgufEmbedding gguf_embedding(const formats::GgufMetadata& metadata);
// Behind general.architecture. Throws Error for a kind of pooling that has no number there.
void describe_embedding(const GgufEmbedding& embedding, formats::GgufMetadata& metadata);
// The same as files of sentence-transformers, by name; none where the file does not say.
std::map<std::string, std::string> embedding_files(const GgufEmbedding& embedding, int64_t width);

}  // namespace ashlar::bundle
