// Update rules over five steps of gradients that are set anew, against PyTorch's float64 goldens.
#include "ashlar/graph/ops/muon.h"
#include "ashlar/graph/ops/optimizer.h"
#include "tests/graph/torch_golden.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ashlar::graph {
namespace {

class TorchOptimizer : public TorchGoldenTest {};
ASHLAR_TEST_EACH_TIER(TorchOptimizer);

ValueId state(Builder& b, const std::string& name, Shape shape) {
  Variable variable;
  variable.name = name;
  variable.kind = VariableKind::kOptimizer;
  variable.shape = shape;
  return b.graph().current(b.graph().add_variable(variable));
}

TEST_P(TorchOptimizer, AdamWWithClipping) {
  const std::pair<std::string, Shape> parameters[] = {{"a", {37, kGoldenWidth}},
                                                      {"b", {kGoldenWidth}}};
  Graph graph;
  Builder b(graph, Phase::kUpdate);
  const ValueId lr = b.input("lr", DType::kF32, {1});
  std::vector<ValueId> gradients;
  for (const auto& [name, shape] : parameters) gradients.push_back(state(b, name + ".grad", shape));
  const ValueId squares = b.apply1(std::make_shared<SumSquaresOp>(), gradients, "squares");
  const auto clip = b.apply(std::make_shared<ClipScaleOp>(1.0), {squares, ValueId{}}, "clip");
  graph.mark_output("norm", clip[0]);
  for (size_t i = 0; i < gradients.size(); ++i) {
    const auto& [name, shape] = parameters[i];
    b.apply(std::make_shared<AdamWOp>(AdamWSpec{}, false),
            {weight(b, name, shape), gradients[i], state(b, name + ".m", shape),
             state(b, name + ".v", shape), lr, clip[1], ValueId{}},
            "update_" + name);
  }

  RunData data;
  data.floats["lr"] = {0.01f};
  for (const auto& [name, shape] : parameters) {
    const auto zeros = std::vector<float>(static_cast<size_t>(shape.elements()));
    data.floats[name + ".m"] = data.floats[name + ".v"] = zeros;
  }
  RunResult result;
  std::vector<double> norms;
  for (uint64_t step = 1; step <= 5; ++step) {
    data.state.step = step;
    for (const auto& [name, shape] : parameters) {
      data.floats[name + ".grad"] = counter_values(fmt::format("{}.grad.{}", name, step),
                                                   shape.elements(), step < 3 ? 0.01f : 1.0f);
    }
    result = run_fast(graph, data, GetParam());
    norms.push_back(result.outputs.at("norm").values[0]);
    for (const auto& [name, values] : result.variables) {
      data.floats[name].assign(values.values.begin(), values.values.end());
    }
  }
  result.outputs["norms"] = {DType::kF64, norms};
  expect_golden(result, read_golden("adamw"), kGoldenF32, "adamw");
}

TEST_P(TorchOptimizer, MuonOfWideAndTallMatrices) {
  const std::pair<std::string, Shape> parameters[] = {{"wide", {40, kGoldenWidth}},
                                                      {"tall", {kGoldenWidth, 33}}};
  Graph graph;
  Builder b(graph, Phase::kUpdate);
  const ValueId lr = b.input("lr", DType::kF32, {1}), scale = b.input("scale", DType::kF32, {1});
  RunData data;
  data.floats["lr"] = {0.02f};
  data.floats["scale"] = {1};
  for (const auto& [name, shape] : parameters) {
    b.apply(std::make_shared<MuonOp>(MuonSpec{}),
            {weight(b, name, shape), state(b, name + ".grad", shape), state(b, name + ".m", shape),
             lr, scale},
            "update_" + name);
    data.floats[name] = counter_values(name, shape.elements(), 0.1f);
    data.floats[name + ".m"] = std::vector<float>(static_cast<size_t>(shape.elements()));
  }
  RunResult fast, reference;
  RunData fast_data = data, reference_data = data;
  for (uint64_t step = 1; step <= 5; ++step) {
    for (const auto& [name, shape] : parameters) {
      const std::string grad = name + ".grad";
      fast_data.floats[grad] = reference_data.floats[grad] =
          counter_values(fmt::format("{}.{}", grad, step), shape.elements());
    }
    fast = run_fast(graph, fast_data, GetParam());
    reference = run_reference(graph, reference_data);
    for (auto [from, to] : {std::pair{&fast, &fast_data}, {&reference, &reference_data}}) {
      for (const auto& [name, values] : from->variables) {
        to->floats[name].assign(values.values.begin(), values.values.end());
      }
    }
  }
  // The iteration amplifies rounding along small singular directions.
  expect_golden(fast, read_golden("muon"), 4 * kGoldenF32, "muon");
  // Between steps, state is rounded to f32.
  expect_golden(reference, read_golden("muon"), kGoldenF32, "muon reference");
}

}  // namespace
}  // namespace ashlar::graph
