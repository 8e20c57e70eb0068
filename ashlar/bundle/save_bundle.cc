#include "ashlar/bundle/save_bundle.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/bundle/generation_config.h"
#include "ashlar/bundle/row_groups.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <iterator>

namespace ashlar::bundle {
namespace {

using formats::FileRecord;
using formats::TensorSpec;
using models::WeightRule;

// Parts one after the other along dim 0.
Tensor concatenated(std::vector<Tensor> parts) {
  if (parts.size() == 1) return parts.front();
  int64_t rows = 0;
  for (const Tensor& part : parts) rows += part.shape()[0];
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

std::vector<ParameterPart> parts_of(const WeightRule& rule, const GetShape& shape) {
  std::vector<ParameterPart> parts;
  for (const std::string& name : rule.parameters) {
    parts.push_back({name, whole_part(shape(name).dims())});
    if (rule.index) parts.back().part.front() = {*rule.index, 1};
  }
  return parts;
}

Shape shape_in_file(const WeightRule& rule, const std::vector<ParameterPart>& parts) {
  Shape shape(lengths(parts.front().part));
  if (rule.index) shape = Shape(shape.dims().subspan(1));
  for (size_t i = 1; i < parts.size(); ++i) shape[0] += parts[i].part.front().length;
  return rule.transpose ? Shape{shape[1], shape[0]} : shape;
}

Tensor in_file(const WeightRule& rule, const std::vector<ParameterPart>& parts, const GetPart& get,
               DType dtype) {
  std::vector<Tensor> tensors;
  std::vector<int64_t> rows;
  for (const ParameterPart& part : parts) {
    tensors.push_back(get(part));
    rows.push_back(tensors.back().shape()[0]);
  }
  Tensor tensor = deal_groups(concatenated(std::move(tensors)), rows, rule.groups);
  if (rule.index) tensor = tensor.reshaped(Shape(tensor.shape().dims().subspan(1)));
  if (tensor.dtype() != dtype) tensor = tensor.to(dtype);
  return rule.transpose ? tensor.transposed() : tensor;
}

formats::SafetensorsOptions file_options(const SaveOptions& options) {
  formats::SafetensorsOptions result;
  result.max_shard_bytes = options.max_shard_bytes;
  result.label = options.label + ".weights";
  return result;
}

}  // namespace

WeightPlan plan_weights(const models::DecoderConfig& config, const GetShape& shape,
                        const SaveOptions& options, int writers) {
  WeightPlan plan;
  std::vector<TensorSpec> tensors;
  for (WeightRule& rule : models::weight_rules(config)) {
    std::vector<ParameterPart> parts = parts_of(rule, shape);
    const DType dtype = rule.f32 ? DType::kF32 : options.dtype;
    tensors.push_back({rule.tensor, dtype, shape_in_file(rule, parts)});
    plan.parts[rule.tensor] = std::move(parts);
    plan.rules[tensors.back().name] = std::move(rule);
  }
  plan.files = formats::plan_model_files(tensors, options.max_shard_bytes, writers);
  return plan;
}

std::vector<FileRecord> write_weights(const std::string& folder, const WeightPlan& plan, int writer,
                                      const GetPart& get, const SaveOptions& options) {
  std::vector<FileRecord> records;
  for (const formats::ModelFile& file : plan.files) {
    if (file.writer != writer) continue;
    records.push_back(formats::write_safetensors(
        join_path(folder, file.name), file.tensors,
        [&](const TensorSpec& spec) {
          return in_file(plan.rules.at(spec.name), plan.parts.at(spec.name), get, spec.dtype);
        },
        file_options(options)));
  }
  return records;
}

std::vector<FileRecord> write_texts(const std::string& folder, const WeightPlan& plan,
                                    const models::DecoderConfig& config,
                                    const SaveOptions& options) {
  models::DecoderConfig written = config;
  written.dtype = options.dtype;
  std::map<std::string, std::string> files = options.text_files;
  files["config.json"] = models::write_config(written);
  if (config.causal) {
    files.try_emplace("generation_config.json", write_generation_config(generation_config(config)));
  }

  std::vector<FileRecord> records =
      formats::write_model_index(folder, plan.files, file_options(options));
  for (const auto& [name, content] : files) {
    const std::string path = join_path(folder, name);
    make_directories(parent_path(path));
    write_file(path, content, options.label + ".text");
    records.push_back(formats::record_file(folder, name));
  }
  return records;
}

std::vector<FileRecord> write_bundle(const std::string& folder, const models::DecoderConfig& config,
                                     const GetParameter& get, const SaveOptions& options) {
  const WeightPlan plan = plan_weights(
      config, [&](const std::string& name) { return get(name).shape(); }, options, 1);
  std::vector<FileRecord> records = write_weights(
      folder, plan, 0,
      [&](const ParameterPart& part) {
        const Slice& rows = part.part.front();  // the other dims are whole
        const Tensor whole = get(part.name);
        return rows.length == whole.shape()[0] ? whole : whole.rows(rows.offset, rows.end());
      },
      options);
  std::ranges::move(write_texts(folder, plan, config, options), std::back_inserter(records));
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
