// A model as one thing: a Hugging Face folder with config.json, weights, tokenizer, chat template
// and generation defaults. open() reads the config; the other parts are read when asked for, each
// with an Error that names the file. Weights: load_weights.h; writing: save_bundle.h.
#pragma once

#include "ashlar/bundle/generation_config.h"
#include "ashlar/formats/safetensors.h"
#include "ashlar/models/family.h"
#include "ashlar/text/chat_template.h"
#include "ashlar/text/tokenizer.h"

#include <map>
#include <string>

namespace ashlar::bundle {

class Bundle {
 public:
  // Throws Error when there is nothing at the path, it is no folder, or its config.json is missing
  // or not understood.
  static Bundle open(const std::string& path);

  const std::string& path() const { return path_; }
  const models::DecoderConfig& config() const { return config_; }

  // model.safetensors, or the shards its index names.
  formats::SafetensorsReader open_weights() const;
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
};

}  // namespace ashlar::bundle
