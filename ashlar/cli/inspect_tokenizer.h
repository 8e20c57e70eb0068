// What `ashlar inspect` says of tokenizer, chat templates and metadata, of a model or of a GGUF
// file that holds a vocabulary and no model.
#pragma once

#include "ashlar/bundle/bundle.h"

#include <optional>
#include <string>

namespace ashlar::cli {

struct TextFacts {
  std::string json;   // an object: tokenizer, chat_templates; of GGUF metadata
  std::string lines;  // of a report
};
TextFacts text_facts(const bundle::Bundle& model);

// With the keys model and format too. None where the file is no GGUF file, or has weights.
std::optional<TextFacts> vocabulary_facts(const std::string& model);

}  // namespace ashlar::cli
