#include "tests/models/family_models.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "ashlar/bundle/save_bundle.h"
#include "ashlar/models/decoder_graphs.h"
#include "tests/base/paths.h"
#include "tests/graph/counter_values.h"

#include <algorithm>
#include <filesystem>

namespace ashlar::testing {
namespace {

// Norms and biases are away from their defaults; the script's value_range says the same.
std::vector<float> values_of(const std::string& tensor, int64_t count, bool zero_centred) {
  const bool norm =
      tensor.find("norm") != std::string::npos || tensor.find("ln_") != std::string::npos;
  if (!norm) return graph::counter_values(tensor, count, 0.3f);
  return graph::counter_values(tensor, count, 0.5f,
                               zero_centred || tensor.ends_with(".bias") ? 0.0f : 1.0f);
}

}  // namespace

std::vector<std::string> family_models() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(test_data("families"))) {
    names.push_back(entry.path().filename());
  }
  std::ranges::sort(names);
  return names;
}

std::string make_family_model(const std::string& name, const std::string& folder) {
  const std::string source = join_path(test_data("families"), name);
  const std::string target = join_path(folder, name);
  make_counted_model(read_file(join_path(source, "config.json")), target);
  write_file(join_path(target, "golden.json"), read_file(join_path(source, "golden.json")));
  return target;
}

void make_counted_model(const std::string& config_json, const std::string& folder) {
  make_directories(folder);
  write_file(join_path(folder, "config.json"), config_json);
  const models::DecoderConfig config = models::parse_config(config_json, folder);
  const graph::Graph graph = models::build_logits(config);
  const bundle::WeightPlan plan = bundle::plan_weights(
      config,
      [&](const std::string& parameter) {
        return graph.variable(*graph.find_variable(parameter)).shape;
      },
      {}, 1);
  for (const formats::ModelFile& file : plan.files) {
    formats::write_safetensors(join_path(folder, file.name), file.tensors,
                               [&](const formats::TensorSpec& spec) {
                                 Tensor tensor(DType::kF32, spec.shape);
                                 const auto values = values_of(spec.name, spec.shape.elements(),
                                                               config.zero_centred_norm);
                                 std::ranges::copy(values, tensor.as<float>());
                                 return tensor;
                               },
                               {});
  }
}

}  // namespace ashlar::testing
