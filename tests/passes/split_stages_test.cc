// Stages keep every value of the graph they were cut from; what each holds, and what it sends.
#include "ashlar/passes/split_stages.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/optimizer.h"
#include "ashlar/passes/recompute.h"
#include "ashlar/runtime/stage_runner.h"
#include "tests/runtime/small_training.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>

namespace ashlar::passes {
namespace {

using graph::Builder;
using graph::Graph;
using graph::Node;
using graph::Phase;
using graph::Stage;
using graph::Symbol;
using graph::ValueId;
using graph::VariableKind;
using runtime::StageProgram;
using testing::SmallModelOptions;

const SmallModelOptions kModel{
    .width = 8, .heads = 2, .kv_heads = 1, .ffn = 12, .vocab = 17, .layers = 5};

std::set<std::string> variables_of(const Stage& stage, VariableKind kind) {
  std::set<std::string> names;
  for (const graph::Variable& variable : stage.graph.variables()) {
    if (variable.kind == kind) names.insert(variable.name);
  }
  return names;
}

std::set<int> layers_of(const Stage& stage) {
  std::set<int> layers;
  for (const Node& node : stage.graph.nodes()) {
    if (node.layer >= 0) layers.insert(node.layer);
  }
  return layers;
}

TEST(SplitStages, DealsLayersAsEvenlyAsCanBe) {
  const Graph graph = testing::small_training(kModel, 1.0);
  const std::vector<Stage> stages = split_stages(graph, 3);
  ASSERT_EQ(stages.size(), 3u);
  EXPECT_EQ(layers_of(stages[0]), (std::set<int>{0, 1}));
  EXPECT_EQ(layers_of(stages[1]), (std::set<int>{2, 3}));
  EXPECT_EQ(layers_of(stages[2]), (std::set<int>{4}));
  size_t parameters = 0;
  for (const Stage& stage : stages) {
    const auto held = variables_of(stage, VariableKind::kParameter);
    parameters += held.size();
    EXPECT_EQ(held.contains("embed.weight"), stage.index == 0);
    EXPECT_EQ(held.contains("head.weight"), stage.index == 2);
    EXPECT_EQ(held.contains("norm.weight"), stage.index == 2);
    EXPECT_EQ(stage.graph.outputs().contains("loss"), stage.index == 2);
    EXPECT_TRUE(stage.borrowed.empty());
    // Each parameter is updated where it is, and nowhere else.
    std::set<std::string> updated;
    for (const Node& node : stage.graph.nodes()) {
      if (node.op->kind() != "adamw") continue;
      updated.insert(stage.graph.variable(stage.graph.value(node.inputs[0]).variable).name);
    }
    EXPECT_EQ(updated, held);
    EXPECT_EQ(stage.gradients.size(), held.size());
  }
  const auto all = split_stages(graph, 1);
  EXPECT_EQ(parameters, variables_of(all[0], VariableKind::kParameter).size());
  // Inputs go to the stages that read them.
  EXPECT_TRUE(stages[0].graph.inputs().contains("tokens"));
  EXPECT_FALSE(stages[1].graph.inputs().contains("tokens"));
  EXPECT_FALSE(stages[1].graph.inputs().contains("targets"));
  EXPECT_TRUE(stages[1].graph.inputs().contains("row_start"));
}

TEST(SplitStages, SendsOneActivationAndOneGradientABorder) {
  const auto stages = split_stages(testing::small_training(kModel, 1.0), 3);
  EXPECT_EQ(stages[0].activation_out, graph::Message{"layers.1.residual2"});
  EXPECT_EQ(stages[1].activation_in, stages[0].activation_out);
  EXPECT_EQ(stages[1].activation_out, graph::Message{"layers.3.residual2"});
  EXPECT_EQ(stages[2].activation_in, stages[1].activation_out);
  EXPECT_TRUE(stages[0].activation_in.empty() && stages[2].activation_out.empty());
  EXPECT_EQ(stages[2].gradient_out.size(), 1u);
  EXPECT_EQ(stages[1].gradient_in, stages[2].gradient_out);
  EXPECT_EQ(stages[0].gradient_in, stages[1].gradient_out);
  EXPECT_TRUE(stages[0].gradient_out.empty() && stages[2].gradient_in.empty());
}

TEST(SplitStages, RefusesMoreStagesThanLayers) {
  try {
    split_stages(testing::small_training(kModel, 1.0), 6);
    FAIL() << "a stage without a layer went unnoticed";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "pipeline: 5 layers do not fill 6 stages; at most 5 stages do");
  }
}

// All stages of one process, in double: messages are handed on by name.
class HandDriven {
 public:
  HandDriven(const std::vector<Stage>& stages, const graph::Bindings& bindings)
      : stages_(stages), bindings_(bindings) {
    for (const Stage& stage : stages) {
      stores_.push_back(std::make_unique<runtime::VariableStore>(5));
      stores_.back()->add_missing(stage.graph);
      runners_.push_back(
          std::make_unique<runtime::StageReference>(stage.graph, *stores_.back(), nullptr));
      runners_.back()->select(0, bindings, {});
    }
  }

  void bind(const std::string& name, const void* data, DType dtype) {
    for (size_t s = 0; s < stages_.size(); ++s) bind(s, name, data, dtype);
  }

  void step() {
    const graph::RunState state{.seed = 3, .step = 1};
    for (size_t s = 0; s < stages_.size(); ++s) {
      runners_[s]->run(StageProgram::kForward, state);
      if (s + 1 < stages_.size()) hand(s, stages_[s].activation_out, s + 1);
    }
    for (size_t s = stages_.size(); s-- > 0;) {
      runners_[s]->run(StageProgram::kInputGrad, state);
      if (s > 0) hand(s, stages_[s].gradient_out, s - 1);
    }
    for (auto& runner : runners_) runner->run(StageProgram::kWeightGrad, state);
    double squares = 0;
    for (size_t s = 0; s < stages_.size(); ++s) {
      runners_[s]->run(StageProgram::kReduce, state);
      runners_[s]->run(StageProgram::kNorm, state);
      if (stages_[s].graph.outputs().contains(graph::kSquaresPart)) {
        squares += *runners_[s]->output(graph::kSquaresPart).as<double>();
      }
    }
    bind(graph::kSquaresWhole, &squares, DType::kF64);
    for (auto& runner : runners_) runner->run(StageProgram::kUpdate, state);
  }

  runtime::StageReference& runner(size_t stage) { return *runners_[stage]; }

 private:
  void bind(size_t s, const std::string& name, const void* data, DType dtype) {
    const auto& inputs = stages_[s].graph.inputs();
    const auto found = inputs.find(name);
    if (found == inputs.end()) return;
    runners_[s]->bind_input(static_cast<int>(std::distance(inputs.begin(), found)), data, dtype);
  }
  void hand(size_t from, const graph::Message& message, size_t to) {
    for (const std::string& name : message) {
      const graph::Operand value = runners_[from]->output(graph::kSend + name);
      bind(to, graph::kRecv + name, value.data, value.dtype);
    }
  }

  const std::vector<Stage>& stages_;
  graph::Bindings bindings_;
  std::vector<std::unique_ptr<runtime::VariableStore>> stores_;
  std::vector<std::unique_ptr<runtime::StageReference>> runners_;
};

void expect_same(const Graph& whole, const testing::SmallBatch& batch, int count) {
  const float lr = 0.01f;
  runtime::VariableStore store(5);
  store.add_missing(whole);
  runtime::ReferenceRun wanted(whole, batch.bindings, store);
  testing::set_inputs(wanted, batch);
  wanted.set_input("lr", std::vector<double>{static_cast<double>(lr)});
  wanted.run({.seed = 3, .step = 1});

  const std::vector<Stage> stages = split_stages(whole, count);
  HandDriven found(stages, batch.bindings);
  found.bind("tokens", batch.tokens.data(), DType::kI32);
  found.bind("positions", batch.positions.data(), DType::kI32);
  found.bind("row_start", batch.row_start.data(), DType::kI32);
  found.bind("targets", batch.targets.data(), DType::kI32);
  found.bind("loss_scale", &batch.scale, DType::kF32);
  found.bind("lr", &lr, DType::kF32);
  found.step();
  const auto last = static_cast<size_t>(count - 1);
  EXPECT_EQ(*found.runner(last).output("loss").as<double>(), wanted.output("loss")[0]);
  for (const Stage& stage : stages) {
    for (const graph::Variable& variable : stage.graph.variables()) {
      const auto& expected = wanted.variable(variable.name);
      const comm::Buffer values =
          found.runner(static_cast<size_t>(stage.index)).variable(variable.name);
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(static_cast<const double*>(values.data)[i], expected[i],
                    1e-12 * (1 + std::abs(expected[i])))
            << variable.name << " on stage " << stage.index;
      }
    }
  }
}

TEST(SplitStages, KeepEveryValueInDouble) {
  SmallModelOptions gpt2 = kModel;
  gpt2.layer_norm = true;
  gpt2.dropout = 0.2;
  for (const SmallModelOptions& model : {kModel, gpt2}) {
    const auto batch = testing::small_batch(model, {5, 2}, 7);
    const Graph whole = testing::small_training(model, 0.1);
    for (const int stages : {1, 2, 3, 5}) expect_same(whole, batch, stages);
    for (const Recompute mode : {Recompute::kFull, Recompute::kSelective}) {
      expect_same(recompute(whole, mode), batch, 3);
    }
  }
}

TEST(SplitStages, SharesATiedEmbedding) {
  SmallModelOptions model = kModel;
  model.tied = true;
  const auto stages = split_stages(testing::small_training(model, 1.0), 4);
  for (const Stage& stage : stages) {
    const bool ends = stage.index == 0 || stage.index == 3;
    EXPECT_EQ(variables_of(stage, VariableKind::kParameter).contains("embed.weight"), ends);
    const bool borrowed = stage.index == 3;
    EXPECT_EQ(stage.owns("embed.weight"), !borrowed);
    EXPECT_EQ(stage.owns("embed.weight.m"), !borrowed);
    EXPECT_TRUE(stage.owns("layers.0.norm1.weight"));
    const auto gradient =
        std::ranges::find(stage.gradients, "embed.weight.grad", &graph::StageGradient::name);
    ASSERT_EQ(gradient != stage.gradients.end(), ends);
    if (ends) {
      EXPECT_EQ(gradient->stages, (std::vector<int>{0, 3}));
      EXPECT_EQ(gradient->rows, model.vocab);
    }
    // Counted once in the norm; begun anew where the head's share does not begin it.
    for (const Node& node : stage.graph.nodes()) {
      if (node.op->kind() != "sum_squares") continue;
      const size_t own = stage.gradients.size() - (borrowed ? 1 : 0);
      EXPECT_EQ(node.inputs.size(), own);
    }
    const auto starts = std::ranges::count_if(
        stage.graph.nodes(), [](const Node& node) { return node.op->kind() == "start_sum"; });
    EXPECT_EQ(starts, stage.index == 0 ? 1 : 0);
  }
}

// y = ((x a0) a1 + x a0) ... : what layer 0 made is read in layer 3, two borders on, and what layer
// 3 made in forward is read by the backward of layer 0.
TEST(SplitStages, RelaysWhatIsNeededFarAway) {
  Graph graph;
  Builder b(graph);
  const ValueId x = b.input("x", DType::kF32, {Symbol::kTokens, 4});
  std::vector<ValueId> made = {x};
  for (int layer = 0; layer < 4; ++layer) {
    const auto scope = b.layer_scope(fmt::format("layers.{}", layer), layer);
    ValueId y = graph::activation(b, made.back(), kernels::Activation::kGeluTanh, "act");
    if (layer == 3) y = graph::add(b, y, made[1], "far");
    made.push_back(y);
  }
  graph.mark_output("y", made.back());
  const ValueId back = graph.add_node(std::make_shared<graph::AddOp>(), {made[4], made[1]},
                                      Phase::kInputGrad, 0, "layers.0.act.grad")[0];
  graph.mark_output("back", back);

  const std::vector<Stage> stages = split_stages(graph, 4);
  EXPECT_EQ(stages[0].activation_out, graph::Message{"layers.0.act"});
  EXPECT_EQ(stages[1].activation_out, (graph::Message{"layers.0.act", "layers.1.act"}));
  EXPECT_EQ(stages[2].activation_out, (graph::Message{"layers.0.act", "layers.2.act"}));
  for (const int stage : {1, 2, 3}) {
    EXPECT_EQ(stages[static_cast<size_t>(stage)].gradient_out, graph::Message{"layers.3.far"});
  }
  graph::Bindings bindings;
  bindings[Symbol::kTokens] = 3;
  std::vector<float> values(12);
  for (size_t i = 0; i < values.size(); ++i) values[i] = 0.3f * static_cast<float>(i) - 1.5f;
  runtime::ReferenceRun wanted(graph, bindings, runtime::VariableStore(5));
  wanted.set_input("x", std::vector<double>(values.begin(), values.end()));
  wanted.run({.step = 1});
  HandDriven found(stages, bindings);
  found.bind("x", values.data(), DType::kF32);
  found.step();
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(found.runner(3).output("y").as<double>()[i], wanted.output("y")[i]);
    EXPECT_EQ(found.runner(0).output("back").as<double>()[i], wanted.output("back")[i]);
  }
}

// What a sharded graph adds: a bucket of gradients that lies across a border is cut, and a weight
// that is gathered from other ranks is gathered where it is read.
TEST(SplitStages, CutsBucketsAndGathersWhereItIsRead) {
  Graph graph;
  Builder b(graph);
  const comm::Group alone{"data", {0}, 0};
  const ValueId x = b.input("x", DType::kF32, {4, 4});
  const ValueId shard = b.parameter("w", {4, 4}, {"out", "in"}, {});
  const ValueId whole = graph.add_node(
      std::make_shared<graph::AllGatherOp>(graph::GroupLabel{alone, "w"}, graph::Dim(4)), {shard},
      Phase::kForward, -1, "w.gather")[0];
  ValueId y = x;
  std::vector<ValueId> gradients;
  for (int layer = 0; layer < 2; ++layer) {
    const auto scope = b.layer_scope(fmt::format("layers.{}", layer), layer);
    y = graph::add(b, y, b.parameter("a", {4, 4}, {"out", "in"}, {}), "plus");
    y = graph::add(b, y, whole, "again");
    graph::Variable gradient;
    gradient.name = b.path("a.grad");
    gradient.kind = VariableKind::kGradient;
    gradient.shape = {4, 4};
    gradient.source = *graph.find_variable(b.path("a"));
    gradients.push_back(graph.current(graph.add_variable(std::move(gradient))));
  }
  const auto summed = graph.add_node(
      std::make_shared<graph::AllReduceOp>(graph::GroupLabel{alone, "bucket"}, 2, true), gradients,
      Phase::kReduce, -1, "bucket");
  graph.add_node(std::make_shared<graph::SumSquaresOp>(), summed, Phase::kUpdate, -1, "squares");

  const std::vector<Stage> stages = split_stages(graph, 2);
  for (const Stage& stage : stages) {
    EXPECT_EQ(stage.activation_in.size(), static_cast<size_t>(stage.index));
    const std::string text = stage.graph.str();
    EXPECT_NE(text.find("all_gather(w)"), std::string::npos) << text;
    EXPECT_NE(text.find(fmt::format("all_reduce(layers.{}.a.grad)", stage.index)),
              std::string::npos)
        << text;
    EXPECT_EQ(text.find(fmt::format("layers.{}.a.grad", 1 - stage.index)), std::string::npos)
        << text;
  }
}

}  // namespace
}  // namespace ashlar::passes
