// Widths of real models (heads of 80, groups of 5, 700 tokens, a window that crosses blocks)
// against transformers: logits, loss, and the gradient norm of every tensor, in the fused graphs
// that training runs. Weights and ids are counter_values; tests/oracles/torch_models.py made the
// goldens.
#include "ashlar/base/atomic_file.h"
#include "ashlar/base/json.h"
#include "ashlar/formats/safetensors_writer.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/passes/fuse.h"
#include "tests/base/paths.h"
#include "tests/base/temp_dir.h"
#include "tests/graph/counter_values.h"
#include "tests/models/model_run.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ashlar::testing {
namespace {

using nlohmann::json;

constexpr int64_t kTokens = 700;

Tensor counted_tensor(const formats::TensorSpec& spec, float matrix_scale) {
  const bool norm =
      spec.name.ends_with(".weight") &&
      (spec.name.find("norm") != std::string::npos || spec.name.find(".ln_") != std::string::npos);
  Tensor tensor(DType::kF32, spec.shape);
  std::ranges::copy(graph::counter_values(spec.name, tensor.elements(), norm ? 0.5f : matrix_scale,
                                          norm ? 1.0f : 0.0f),
                    tensor.as<float>());
  return tensor;
}

class RealSize : public ::testing::TestWithParam<const char*> {
 protected:
  RealSize() : golden_(read_json<json>(path())) {
    write_file(folder_.path("config.json"), golden_.at("config").dump());
    std::vector<formats::TensorSpec> tensors;
    for (const auto& [name, shape] : golden_.at("tensors").items()) {
      tensors.push_back({name, DType::kF32, Shape(std::vector<int64_t>(shape))});
    }
    const float scale = golden_.at("matrix_scale");
    formats::write_safetensors_model(
        folder_.path(), tensors,
        [scale](const formats::TensorSpec& spec) { return counted_tensor(spec, scale); });
    ids_ = graph::counter_ids("tokens", kTokens, config().vocab);
  }

  static std::string path() { return join_path(test_data("models_real"), GetParam()) + ".json"; }

  bundle::Bundle model() const { return bundle::Bundle::open(folder_.path()); }

  models::DecoderConfig config() const {
    models::DecoderConfig config = model().config();
    config.pattern = {{.window = golden_.at("window")}};
    return config;
  }

  void bind_batch(ModelRun& run) const {
    std::vector<int32_t> positions(kTokens);
    std::iota(positions.begin(), positions.end(), 0);
    run.bind("tokens", ids_);
    run.bind("positions", positions);
    run.bind("row_start", std::vector<int32_t>{0, static_cast<int32_t>(kTokens)});
  }

  // Each id's next one; a quarter is masked.
  std::vector<int32_t> targets() const {
    const std::vector<int32_t> masked = graph::counter_ids("masked", kTokens, 4);
    std::vector<int32_t> targets(ids_.begin() + 1, ids_.end());
    targets.push_back(-1);
    for (size_t i = 0; i < targets.size(); ++i) {
      if (masked[i] == 0) targets[i] = -1;
    }
    return targets;
  }

  TempDir folder_{quick_folder()};
  json golden_;
  std::vector<int32_t> ids_;
};

TEST_P(RealSize, Logits) {
  const std::vector<int32_t> rows = golden_.at("rows");
  const int64_t stride = golden_.at("logit_stride");
  const auto sizes = bindings(kTokens, 1, std::ssize(rows));
  ModelRun run(models::build_logits(config()), model(), sizes);
  bind_batch(run);
  run.bind("output_rows", rows);
  const graph::Operand logits = run.run(sizes, "logits");
  for (size_t r = 0; r < rows.size(); ++r) {
    const json& wanted = golden_.at("logits").at(r);
    ASSERT_EQ(std::ssize(wanted), (logits.shape[1] + stride - 1) / stride);
    for (size_t i = 0; i < wanted.size(); ++i) {
      const auto at = static_cast<int64_t>(r) * logits.shape[1] + static_cast<int64_t>(i) * stride;
      ASSERT_NEAR(logits.as<float>()[at], wanted[i].get<double>(), 1e-4)
          << "row " << rows[r] << ", logit " << static_cast<int64_t>(i) * stride;
    }
  }
}

TEST_P(RealSize, LossAndGradientNorms) {
  graph::Graph graph = models::build_training(config());
  const auto gradients = passes::differentiate(graph, graph.output("loss"));
  graph = passes::fuse(graph);
  const auto sizes = bindings(kTokens, 1, 0);
  ModelRun run(graph, model(), sizes);
  bind_batch(run);
  const std::vector<int32_t> targets = this->targets();
  run.bind("targets", targets);
  const auto counted = std::ranges::count_if(targets, [](int32_t id) { return id >= 0; });
  run.bind("loss_scale", std::vector<float>{1.0f / static_cast<float>(counted)});
  EXPECT_NEAR(*run.run(sizes, "loss").as<double>(), golden_.at("loss").get<double>(), 1e-5);
  run.run_program("backward", sizes);

  std::map<std::string, double> norms;
  double global = 0;
  for (const models::WeightRule& rule : models::weight_rules(config())) {
    double squares = 0;
    for (const std::string& parameter : rule.parameters) {
      const graph::VariableId gradient = gradients.at(*graph.find_variable(parameter));
      for (const float g : run.store().at(graph.variable(gradient).name).span<float>()) {
        squares += static_cast<double>(g) * static_cast<double>(g);
      }
    }
    norms[rule.tensor] = std::sqrt(squares);
    global += squares;
  }
  ASSERT_EQ(norms.size(), golden_.at("grad_norms").size());
  for (const auto& [name, wanted] : golden_.at("grad_norms").items()) {
    const double norm = wanted;
    EXPECT_NEAR(norms.at(name), norm, 1e-3 * norm + 1e-6 * std::sqrt(global)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RealSize,
                         ::testing::Values("llama_grouped", "llama3_rope", "llama_window", "gpt2"),
                         [](const auto& model) { return std::string(model.param); });

}  // namespace
}  // namespace ashlar::testing
