// Widths of real models (heads of 80, groups of 5, 700 tokens, a window that crosses blocks)
// against transformers: logits, loss, and the gradient norm of every tensor. The weights are a
// formula; see tests/oracles/model_goldens.py, which made tests/fixtures/models_real.
#include "ashlar/base/atomic_file.h"
#include "ashlar/base/json.h"
#include "ashlar/formats/safetensors_writer.h"
#include "ashlar/passes/differentiate.h"
#include "tests/base/temp_dir.h"
#include "tests/models/model_run.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <numeric>

namespace ashlar::testing {
namespace {

using nlohmann::json;

uint64_t fnv1a(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

double uniform(uint64_t seed, uint64_t i) {  // in [-1/2, 1/2)
  uint64_t x = seed + i + 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  x = x ^ (x >> 31);
  return static_cast<double>(x >> 40) / 16777216.0 - 0.5;
}

Tensor formula(const formats::TensorSpec& spec, double std) {
  const bool norm =
      spec.name.ends_with(".weight") &&
      (spec.name.find("norm") != std::string::npos || spec.name.find(".ln_") != std::string::npos);
  Tensor tensor(DType::kF32, spec.shape);
  const uint64_t seed = fnv1a(spec.name);
  for (size_t i = 0; i < static_cast<size_t>(tensor.elements()); ++i) {
    const double u = uniform(seed, i);
    tensor.as<float>()[i] = static_cast<float>(norm ? 1 + u : 2 * std * u);
  }
  return tensor;
}

class RealSize : public ::testing::TestWithParam<const char*> {
 protected:
  RealSize() : golden_(read_json<json>(path())), ids_(golden_.at("ids")) {
    write_file(folder_.path("config.json"), golden_.at("config").dump());
    std::vector<formats::TensorSpec> tensors;
    for (const auto& [name, shape] : golden_.at("tensors").items()) {
      tensors.push_back({name, DType::kF32, Shape(std::vector<int64_t>(shape))});
    }
    const double std = golden_.at("std");
    formats::write_safetensors_model(
        folder_.path(), tensors,
        [std](const formats::TensorSpec& spec) { return formula(spec, std); });
  }

  static std::string path() {
    return join_path(ASHLAR_TEST_DATA "/models_real", GetParam()) + ".json";
  }

  bundle::Bundle model() const { return bundle::Bundle::open(folder_.path()); }

  models::DecoderConfig config() const {
    models::DecoderConfig config = model().config();
    config.window = golden_.at("window");
    return config;
  }

  void bind_batch(ModelRun& run, const std::vector<int32_t>& ids) const {
    std::vector<int32_t> positions(ids.size());
    std::iota(positions.begin(), positions.end(), 0);
    run.bind("tokens", ids);
    run.bind("positions", positions);
    run.bind("row_start", std::vector<int32_t>{0, static_cast<int32_t>(ids.size())});
  }

  TempDir folder_{quick_folder()};
  json golden_;
  std::vector<int32_t> ids_;
};

TEST_P(RealSize, Logits) {
  const std::vector<int32_t> rows = golden_.at("rows");
  const auto sizes = bindings(static_cast<int64_t>(ids_.size()), 1, std::ssize(rows));
  ModelRun run(models::build_logits(config()), model(), sizes);
  bind_batch(run, ids_);
  run.bind("output_rows", rows);
  const graph::Operand logits = run.run(sizes, "logits");
  for (size_t r = 0; r < rows.size(); ++r) {
    const json& wanted = golden_.at("logits").at(r);  // every 20th
    for (size_t i = 0; i < wanted.size(); ++i) {
      const auto at = static_cast<int64_t>(r) * logits.shape[1] + static_cast<int64_t>(i) * 20;
      ASSERT_NEAR(logits.as<float>()[at], wanted[i].get<double>(), 1e-4)
          << "row " << rows[r] << ", logit " << i * 20;
    }
  }
}

TEST_P(RealSize, LossAndGradientNorms) {
  const std::vector<int32_t> targets(ids_.begin() + 1, ids_.end());
  const std::vector<int32_t> tokens(ids_.begin(), ids_.end() - 1);
  const auto count = static_cast<int64_t>(tokens.size());
  graph::Graph graph = models::build_training(config());
  const auto gradients = passes::differentiate(graph, graph.output("loss"));
  const auto sizes = bindings(count, 1, 0);
  ModelRun run(graph, model(), sizes);
  bind_batch(run, tokens);
  run.bind("targets", targets);
  run.bind("loss_scale", std::vector<float>{1.0f / static_cast<float>(count)});
  EXPECT_NEAR(*run.run(sizes, "loss").as<double>(), golden_.at("mean_loss").get<double>(), 1e-5);
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
