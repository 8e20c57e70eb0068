// A model as one thing: a Hugging Face folder with config.json, weights, tokenizer, chat template
// and generation defaults, or a GGUF file, which holds the same. open() reads the config; the other
// parts are read when asked for, each with an Error that names the file. Weights: load_weights.h;
// writing: save_bundle.h.
#pragma once

#include "ashlar/bundle/generation_config.h"
#include "ashlar/bundle/weights.h"
#include "ashlar/formats/gguf.h"
#include "ashlar/models/family.h"
#include "ashlar/text/chat_template.h"
#include "ashlar/text/tokenizer.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

namespace ashlar::bundle {

class Bundle {
 public:
  // A path, or ORG/NAME of a model in the Hugging Face cache (model_path.h).
  // Throws Error when there is nothing at the path, it is neither a folder nor a GGUF file, or its
  // config is missing or not understood.
  static Bundle open(const std::string& name);

  const std::string& path() const { return path_; }
  // A decoder's. Throws Error where the model is an encoder, which generates nothing.
  const models::DecoderConfig& config() const;
  // Null where the model is a decoder.
  const models::DecoderConfig* encoder() const { return config_.causal ? nullptr : &config_; }
  const models::DecoderConfig& description() const { return config_; }  // of either

  // The GGUF file, or null for a folder.
  const formats::GgufReader* gguf() const { return gguf_.get(); }
  // The file's tensors, or model.safetensors or the shards its index names.
  Weights open_weights() const;
  bool has_tokenizer() const;
  text::Tokenizer load_tokenizer() const;
  text::ChatFiles chat_files() const;
  // generation_config.json; what it leaves open comes from config.json.
  GenerationConfig generation() const;

  // Everything but config and weights that belongs to the model, by name below its folder: to be
  // copied where a model trained from this one is saved.
  std::map<std::string, std::string> text_files() const;

 private:
  Bundle(std::string path, models::DecoderConfig config)
      : path_(std::move(path)), config_(std::move(config)) {}

  std::string path_;
  models::DecoderConfig config_;
  std::shared_ptr<const formats::GgufReader> gguf_;
};

// The tokenizer of a model folder, a tokenizer.json, SentencePiece's tokenizer.model or a GGUF
// file, without truncation and padding unless they are asked for: what the model itself would get.
enum class LengthRules { kDrop, kKeep };
text::Tokenizer open_tokenizer(const std::string& name,
                               LengthRules length_rules = LengthRules::kDrop);
// Whether a file begins as GGUF files do.
bool is_gguf_file(const std::string& path);

}  // namespace ashlar::bundle
