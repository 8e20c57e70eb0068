#include "ashlar/bundle/save_bundle.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/bundle/generation_config.h"
#include "ashlar/formats/safetensors_writer.h"

#include <nlohmann/json.hpp>

#include <cstring>
#include <unordered_map>

namespace ashlar::bundle {
namespace {

using formats::FileRecord;
using formats::TensorSpec;
using models::WeightRule;

// Parameters one after the other along dim 0.
Tensor concatenated(const WeightRule& rule, const GetParameter& get) {
  if (rule.index) {
    const Tensor part = get(rule.parameters.front()).rows(*rule.index, *rule.index + 1);
    return part.reshaped(Shape(part.shape().dims().subspan(1)));
  }
  if (rule.parameters.size() == 1) return get(rule.parameters.front());
  std::vector<Tensor> parts;
  int64_t rows = 0;
  for (const std::string& parameter : rule.parameters) {
    parts.push_back(get(parameter));
    rows += parts.back().shape()[0];
  }
  Shape shape = parts.front().shape();
  shape[0] = rows;
  Tensor whole(parts.front().dtype(), shape);
  std::byte* at = whole.data();
  for (const Tensor& part : parts) {
    std::memcpy(at, part.data(), part.bytes());
    at += part.bytes();
  }
  return whole;
}

Tensor in_file(const WeightRule& rule, const GetParameter& get, DType dtype) {
  Tensor tensor = concatenated(rule, get);
  if (tensor.dtype() != dtype) tensor = tensor.to(dtype);
  return rule.transpose ? tensor.transposed() : tensor;
}

Shape shape_in_file(const WeightRule& rule, const GetParameter& get) {
  Shape shape = get(rule.parameters.front()).shape();
  if (rule.index) shape = Shape(shape.dims().subspan(1));
  for (size_t i = 1; i < rule.parameters.size(); ++i) {
    shape[0] += get(rule.parameters[i]).shape()[0];
  }
  return rule.transpose ? Shape{shape[1], shape[0]} : shape;
}

std::vector<FileRecord> write_weights(const std::string& folder,
                                      const models::DecoderConfig& config, const GetParameter& get,
                                      const SaveOptions& options) {
  std::unordered_map<std::string, WeightRule> rules;
  std::vector<TensorSpec> tensors;
  for (WeightRule& rule : models::weight_rules(config)) {
    tensors.push_back({rule.tensor, options.dtype, shape_in_file(rule, get)});
    std::string name = rule.tensor;
    rules.emplace(std::move(name), std::move(rule));
  }
  formats::SafetensorsOptions file_options;
  file_options.max_shard_bytes = options.max_shard_bytes;
  file_options.label = options.label + ".weights";
  return formats::write_safetensors_model(
      folder, tensors,
      [&](const TensorSpec& spec) { return in_file(rules.at(spec.name), get, options.dtype); },
      file_options);
}

}  // namespace

std::vector<FileRecord> write_bundle(const std::string& folder, const models::DecoderConfig& config,
                                     const GetParameter& get, const SaveOptions& options) {
  models::DecoderConfig written = config;
  written.dtype = options.dtype;
  std::map<std::string, std::string> files = options.text_files;
  files["config.json"] = models::write_config(written);
  files.try_emplace("generation_config.json", write_generation_config(config));

  std::vector<FileRecord> records = write_weights(folder, config, get, options);
  for (const auto& [name, content] : files) {
    const std::string path = join_path(folder, name);
    make_directories(parent_path(path));
    write_file(path, content, options.label + ".text");
    records.push_back(formats::record_file(folder, name));
  }
  return records;
}

void save_bundle(const std::string& path, const models::DecoderConfig& config,
                 const GetParameter& get, const SaveOptions& options) {
  AtomicDirectory folder(path, options.label);
  write_bundle(folder.path(), config, get, options);
  folder.commit();
}

std::string write_tokenizer_config(const std::vector<std::pair<std::string, std::string>>& special,
                                   int64_t max_positions) {
  nlohmann::ordered_json document;
  for (const auto& [name, token] : special) document[name] = token;
  document["clean_up_tokenization_spaces"] = false;
  document["model_max_length"] = max_positions;
  document["tokenizer_class"] = "PreTrainedTokenizerFast";
  return document.dump(2) + "\n";
}

}  // namespace ashlar::bundle
