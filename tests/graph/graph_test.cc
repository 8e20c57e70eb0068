// The graph itself: text form, symbolic dims, names, and Variables whose versions share storage.
#include "ashlar/graph/graph.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/graph/builder.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/loss.h"
#include "ashlar/graph/ops/norm.h"
#include "ashlar/passes/differentiate.h"
#include "tests/base/paths.h"

#include <gtest/gtest.h>

#include <functional>

namespace ashlar::graph {
namespace {

std::string message_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

Graph small_graph() {
  Graph graph;
  Builder b(graph);
  const ValueId x = b.input("x", DType::kF32, {Symbol::kTokens, 8});
  const ValueId targets = b.input("targets", DType::kI32, {Symbol::kTokens});
  const ValueId scale = b.input("scale", DType::kF32, {1});
  ValueId y;
  {
    const auto scope = b.layer_scope("layers.0", 0);
    const ValueId h = rms_norm(b, x, b.parameter("norm.weight", {8}, {"embed"}, {}), 1e-5, "norm");
    y = linear(b, h, b.parameter("up.weight", {6, 8}, {"ffn", "embed"}, {}), {}, "up");
    y = activation(b, y, kernels::Activation::kSilu, "act");
  }
  const ValueId head = b.parameter("head.weight", {10, 6}, {"vocab", "ffn"}, {});
  graph.mark_output("loss", linear_cross_entropy(b, y, head, targets, scale, "loss"));
  return graph;
}

TEST(GraphText, HoldsEveryNodeOfForwardAndBackward) {
  Graph graph = small_graph();
  passes::differentiate(graph, graph.output("loss"));
  EXPECT_EQ(graph.str(), read_file(test_data("goldens/small_graph.txt")));
}

TEST(SymbolicDims, BindAndPrint) {
  Bindings bindings;
  bindings[Symbol::kTokens] = 12;
  bindings[Symbol::kSeqs] = 3;
  const Dim rows(Symbol::kSeqs, 1, 1), twice(Symbol::kTokens, 2), less(Symbol::kTokens, 1, -1);
  EXPECT_EQ(rows.bind(bindings), 4);
  EXPECT_EQ(twice.bind(bindings), 24);
  EXPECT_EQ(less.bind(bindings), 11);
  const SymShape shape{rows, twice, less, 5};
  EXPECT_EQ(shape.str(), "[seqs+1, 2*tokens, tokens-1, 5]");
  EXPECT_EQ(shape.bind(bindings), (Shape{4, 24, 11, 5}));
  EXPECT_FALSE(shape.fixed());
  EXPECT_TRUE(SymShape(Shape{4, 5}).fixed());
  EXPECT_NE(SymShape{Symbol::kTokens}, SymShape{Symbol::kSeqs});
}

TEST(SymbolicDims, FlowThroughOps) {
  Graph graph;
  Builder b(graph);
  const ValueId x = b.input("x", DType::kF32, {Dim(Symbol::kTokens, 2), 8});
  const ValueId y = linear(b, x, b.parameter("w", {6, 8}, {}, {}), {}, "y");
  EXPECT_EQ(b.type(y).str(), "f32[2*tokens, 6]");
}

class Versions : public ::testing::Test {
 protected:
  Versions() {
    Variable variable;
    variable.name = "grad";
    variable.kind = VariableKind::kGradient;
    variable.shape = {8};
    grad_ = graph_.add_variable(variable);
  }
  std::vector<ValueId> bias_grad(ValueId grad) {
    const ValueId d_y =
        b_.input("d_y" + std::to_string(count_++), DType::kF32, {Symbol::kTokens, 8});
    return b_.apply(std::make_shared<BiasGradOp>(false), {d_y, grad}, "bias_grad");
  }

  Graph graph_;
  Builder b_{graph_};
  VariableId grad_;
  int count_ = 0;
};

TEST_F(Versions, AnOpThatChangesAVariableGivesItsNextVersion) {
  const ValueId first = graph_.current(grad_);
  const ValueId second = bias_grad(first)[0];
  EXPECT_NE(first, second);
  EXPECT_EQ(graph_.current(grad_), second);
  EXPECT_EQ(graph_.value(second).variable, grad_);
  const ValueId third = bias_grad(second)[0];
  EXPECT_EQ(graph_.current(grad_), third);
}

TEST_F(Versions, AnOutdatedVersionIsRefused) {
  const ValueId first = graph_.current(grad_);
  bias_grad(first);
  EXPECT_EQ(message_of([&] { bias_grad(first); }),
            "op bias_grad: changes an outdated version of variable grad");
}

TEST(GraphNames, AreUnique) {
  Graph graph;
  Builder b(graph);
  b.input("x", DType::kF32, {1});
  EXPECT_EQ(message_of([&] { b.input("x", DType::kF32, {1}); }), "graph: two inputs are named 'x'");
  Variable variable;
  variable.name = "w";
  variable.shape = {2, 3};
  graph.add_variable(variable);
  EXPECT_EQ(message_of([&] { graph.add_variable(variable); }),
            "graph: two variables are named 'w'");
  variable.name = "v";
  variable.dims = {"embed"};
  EXPECT_EQ(message_of([&] { graph.add_variable(variable); }),
            "variable v: 1 logical dims named for shape [2, 3]");
  EXPECT_EQ(message_of([&] { graph.output("logits"); }), "graph: no output is named 'logits'");
}

TEST(Builder, TiedParametersAreOne) {
  Graph graph;
  Builder b(graph);
  const ValueId w = b.parameter("embed.weight", {9, 8}, {"vocab", "embed"}, {});
  EXPECT_EQ(b.parameter("embed.weight", {9, 8}, {"vocab", "embed"}, {}), w);
  EXPECT_EQ(graph.variables().size(), 1u);
  EXPECT_EQ(message_of([&] {
              b.parameter("embed.weight", {9, 7}, {}, {});
            }),
            "parameter embed.weight: asked for as [9, 7], already made as [9, 8]");
}

TEST(Builder, ScopesNameValuesAndLayers) {
  const Graph graph = small_graph();
  EXPECT_TRUE(graph.find_variable("layers.0.up.weight").has_value());
  EXPECT_EQ(graph.node(0).name, "layers.0.norm");
  EXPECT_EQ(graph.node(0).layer, 0);
  EXPECT_EQ(graph.nodes().back().name, "loss");
  EXPECT_EQ(graph.nodes().back().layer, -1);
}

TEST(Differentiate, RefusesALossOfNoParameter) {
  Graph graph;
  Builder b(graph);
  const ValueId loss = linear_cross_entropy(b, b.input("x", DType::kF32, {Symbol::kTokens, 8}),
                                            b.input("w", DType::kF32, {9, 8}),
                                            b.input("targets", DType::kI32, {Symbol::kTokens}),
                                            b.input("scale", DType::kF32, {1}), "loss");
  EXPECT_EQ(message_of([&] { passes::differentiate(graph, loss); }),
            "differentiate: the loss depends on no trainable parameter");
}

TEST(Differentiate, RefusesAFusedActivation) {
  Graph graph;
  Builder b(graph);
  const ValueId x = b.input("x", DType::kF32, {Symbol::kTokens, 8});
  const ValueId h = linear(b, x, b.parameter("w", {6, 8}, {}, {}),
                           {.activation = kernels::Activation::kSilu}, "up");
  const ValueId loss = linear_cross_entropy(b, h, b.parameter("head", {9, 6}, {}, {}),
                                            b.input("targets", DType::kI32, {Symbol::kTokens}),
                                            b.input("scale", DType::kF32, {1}), "loss");
  EXPECT_EQ(message_of([&] { passes::differentiate(graph, loss); }),
            "linear up: a fused activation is not differentiable; fuse after differentiation");
}

}  // namespace
}  // namespace ashlar::graph
