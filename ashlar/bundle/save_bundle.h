// Writes a model as a Hugging Face folder: config.json, model.safetensors (sharded above 5 GB)
// under the family's names, and the text files that make it whole. transformers loads what this
// writes.
#pragma once

#include "ashlar/formats/manifest.h"
#include "ashlar/models/family.h"
#include "ashlar/tensor/tensor.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ashlar::bundle {

// The current value of a parameter.
using GetParameter = std::function<Tensor(const std::string& name)>;

struct SaveOptions {
  DType dtype = DType::kF32;  // of the tensors, and what config.json says
  // tokenizer.json and the like by name, as Bundle::text_files() gives them. A
  // generation_config.json with the config's token ids is added where there is none.
  std::map<std::string, std::string> text_files;
  int64_t max_shard_bytes = 5'000'000'000;
  std::string label = "model";  // names the crash points
};

// Into a folder that exists (an AtomicDirectory's, a checkpoint's). Returns a record of each file.
std::vector<formats::FileRecord> write_bundle(const std::string& folder,
                                              const models::DecoderConfig& config,
                                              const GetParameter& get, const SaveOptions& options);

// A folder of its own, which appears whole or not at all.
void save_bundle(const std::string& path, const models::DecoderConfig& config,
                 const GetParameter& get, const SaveOptions& options);

// tokenizer_config.json for a tokenizer.json made here. special: {"bos_token", "<s>"}, ...
std::string write_tokenizer_config(const std::vector<std::pair<std::string, std::string>>& special,
                                   int64_t max_positions);

}  // namespace ashlar::bundle
