// Writes a model as a Hugging Face folder: config.json, model.safetensors (sharded above 5 GB)
// under the family's names, and the text files that make it whole. transformers loads what this
// writes.
#pragma once

#include "ashlar/formats/safetensors_writer.h"
#include "ashlar/mesh/part.h"
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

// The same by several writers, who need not hold the whole model: the files of weights, what each
// is made of, and who writes it. Every tensor is whole in one file.
struct ParameterPart {
  std::string name;
  Part part;
};
struct WeightPlan {
  std::vector<formats::ModelFile> files;
  std::map<std::string, models::WeightRule> rules;  // by tensor
  // What a tensor is made of, in the order in which the parts follow each other.
  std::map<std::string, std::vector<ParameterPart>> parts;
};
using GetShape = std::function<Shape(const std::string& parameter)>;
using GetPart = std::function<Tensor(const ParameterPart& part)>;
WeightPlan plan_weights(const models::DecoderConfig& config, const GetShape& shape,
                        const SaveOptions& options, int writers);
// The files of one writer.
std::vector<formats::FileRecord> write_weights(const std::string& folder, const WeightPlan& plan,
                                               int writer, const GetPart& get,
                                               const SaveOptions& options);
// What one of them adds: config.json, the text files, the index.
std::vector<formats::FileRecord> write_texts(const std::string& folder, const WeightPlan& plan,
                                             const models::DecoderConfig& config,
                                             const SaveOptions& options);

// A folder of its own, which appears whole or not at all.
void save_bundle(const std::string& path, const models::DecoderConfig& config,
                 const GetParameter& get, const SaveOptions& options);

// tokenizer_config.json for a tokenizer.json made here. special: {"bos_token", "<s>"}, ...
std::string write_tokenizer_config(const std::vector<std::pair<std::string, std::string>>& special,
                                   int64_t max_positions);

}  // namespace ashlar::bundle
