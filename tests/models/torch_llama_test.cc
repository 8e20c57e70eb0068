// A LLaMA at real sizes (width 320, head dim 80, 5 query heads to a key-value head, llama3 rotary
// scaling, 700 tokens) against transformers in float32: tests/oracles/torch_llama.py. Weights are
// counter_values of their tensors' names.
#include "ashlar/base/cpu.h"
#include "ashlar/base/json.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/models/family.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/passes/fuse.h"
#include "tests/graph/blocks.h"
#include "tests/graph/counter_values.h"
#include "tests/graph/golden.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace ashlar::models {
namespace {

constexpr int64_t kTokens = 700;

double norm(const std::vector<double>& values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares);
}

class TorchLlama : public ::testing::Test {
 protected:
  const nlohmann::json golden_ =
      read_json<nlohmann::json>(ASHLAR_TEST_DATA "/goldens/llama_700.json");
  const DecoderConfig config_ = parse_config(golden_.at("config").dump(), "llama_700.json");

  graph::RunData data(const graph::Graph& graph) const {
    graph::RunData data{.bindings = graph::bind_tokens(kTokens)};
    data.ints["tokens"] = graph::counter_ids("tokens", kTokens, config_.vocab);
    data.ints["positions"] = graph::counting(kTokens);
    data.ints["row_start"] = {0, static_cast<int32_t>(kTokens)};
    for (const WeightRule& rule : weight_rules(config_)) {
      const auto& name = rule.parameters.at(0);
      const Shape& shape = graph.variable(graph.find_variable(name).value()).shape;
      const bool vector = shape.rank() == 1;
      const auto scale =
          vector ? 0.2f : static_cast<float>(1 / std::sqrt(static_cast<double>(shape[1])));
      data.floats[name] =
          graph::counter_values(rule.tensor, shape.elements(), scale, vector ? 1.0f : 0.0f);
    }
    return data;
  }
};

TEST_F(TorchLlama, LogitsOfEveryRow) {
  const graph::Graph graph = build_logits(config_);
  graph::RunData run = data(graph);
  run.bindings[graph::Symbol::kOutputs] = kTokens;
  run.ints["output_rows"] = graph::counting(kTokens);
  const graph::RunResult found = graph::run_fast(graph, run, best_isa_tier());
  // Of logits of about 0.6: a tenth of the 1e-4 that goldens are held to.
  graph::expect_golden(found, graph::read_golden("llama_700"), 2e-5, "llama");
}

TEST_F(TorchLlama, LossAndTheNormOfEveryGradient) {
  graph::Graph graph = build_training(config_);
  passes::differentiate(graph, graph.output("loss"));
  graph = passes::fuse(graph);
  graph::RunData run = data(graph);
  std::vector<int32_t> targets = graph::counter_ids("targets", kTokens, config_.vocab);
  const std::vector<int32_t> masked = graph::counter_ids("masked", kTokens, 4);
  float counted = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (masked[i] == 0) targets[i] = -1;
    if (targets[i] >= 0) ++counted;
  }
  run.ints["targets"] = targets;
  run.floats["loss_scale"] = {1 / counted};
  const graph::RunResult found = graph::run_fast(graph, run, best_isa_tier());
  EXPECT_NEAR(found.outputs.at("loss").values[0], golden_.at("loss").get<double>(), 1e-5);

  double squares = 0;
  for (const auto& wanted : golden_.at("gradient_norms")) {
    squares += wanted.get<double>() * wanted.get<double>();
  }
  EXPECT_EQ(golden_.at("gradient_norms").size(), weight_rules(config_).size());
  for (const WeightRule& rule : weight_rules(config_)) {
    const double wanted = golden_.at("gradient_norms").at(rule.tensor).get<double>();
    const double tolerance = 1e-3 * wanted + 1e-6 * std::sqrt(squares);
    EXPECT_NEAR(norm(found.variables.at(rule.parameters.at(0) + ".grad").values), wanted, tolerance)
        << rule.tensor;
  }
}

}  // namespace
}  // namespace ashlar::models
