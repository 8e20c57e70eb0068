#include "ashlar/passes/round_gradients.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/add_term.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/muon.h"
#include "ashlar/graph/ops/start_sum.h"
#include "ashlar/passes/rewrite.h"

#include <algorithm>
#include <set>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Phase;
using graph::ValueId;
using graph::Variable;
using graph::VariableId;
using graph::VariableKind;

template <typename T>
bool is(const Node& node) {
  return dynamic_cast<const T*>(node.op.get()) != nullptr;
}

class Rounder {
 public:
  Rounder(const Graph& graph, DType dtype)
      : graph_(graph), dtype_(dtype), rewrite_(graph, [&](Variable& variable) {
          if (rounds(variable)) variable.dtype = dtype_;
        }) {
    find_terms();
  }

  Graph run() {
    for (const Node& node : graph_.nodes()) {
      if (is<graph::MuonOp>(node)) {
        read_wide(node);
      } else if (changes_gradient(node)) {
        write_apart(node);
      } else {
        rewrite_.copy(node);
      }
      for (const ValueId output : node.outputs) {
        if (terms_.contains(output)) rewrite_.map(output, cast(rewrite_(output), dtype_, node));
      }
    }
    return rewrite_.take();
  }

 private:
  // What is read in 16 bits: through a shadow, or itself.
  bool rounds(const Variable& variable) const {
    if (variable.kind != VariableKind::kGradient || variable.shape.rank() < 2) return false;
    if (graph_.variable(variable.source).dtype == dtype_) return true;
    return std::ranges::any_of(graph_.variables(), [&](const Variable& other) {
      return other.kind == VariableKind::kShadow && other.source == variable.source &&
             other.dtype == dtype_;
    });
  }
  bool rounds(ValueId value) const {
    const VariableId variable = graph_.value(value).variable;
    return variable.valid() && rounds(graph_.variable(variable));
  }

  // Terms of shards, as backward makes them before they leave.
  void find_terms() {
    for (const Node& node : graph_.nodes()) {
      if (!is<graph::ReduceIntoOp>(node) || !rounds(node.outputs[0])) continue;
      ValueId term = node.inputs[0];
      for (int maker = graph_.value(term).producer; is<graph::ReduceScatterOp>(graph_.node(maker));
           maker = graph_.value(term).producer) {
        term = graph_.node(maker).inputs[0];
      }
      terms_.insert(term);
    }
  }

  // A node of backward that adds to a gradient which this rank keeps whole.
  bool changes_gradient(const Node& node) const {
    if (node.phase >= Phase::kReduce || is<graph::ReduceIntoOp>(node) ||
        is<graph::FreeTermsOp>(node) || is<graph::StartSumOp>(node)) {
      return false;
    }
    return std::ranges::any_of(node.outputs, [&](ValueId output) { return rounds(output); });
  }

  // The node makes its term from zeros; another adds it.
  void write_apart(const Node& node) {
    std::vector<ValueId> inputs = rewrite_(node.inputs);
    std::vector<std::pair<ValueId, ValueId>> grads;  // before, and the old id of what comes behind
    for (const graph::Alias& alias : node.op->aliases()) {
      const ValueId output = node.outputs[static_cast<size_t>(alias.output)];
      if (!alias.required || !rounds(output)) continue;
      ValueId& slot = inputs[static_cast<size_t>(alias.input)];
      grads.emplace_back(slot, output);
      slot = add(std::make_shared<graph::ZerosOp>(
                     graph::ValueType{DType::kF32, graph_.type(output).shape}),
                 {}, node, ".zeros");
    }
    rewrite_.copy(node, node.op, std::move(inputs));
    for (const auto& [before, output] : grads) {
      const bool first = rewrite_.result().value(before).producer < 0;
      rewrite_.map(output, add(std::make_shared<graph::AddTermOp>(first),
                               {rewrite_(output), before}, node, ".add_term"));
    }
  }

  // Muon's products are of f32.
  void read_wide(const Node& node) {
    std::vector<ValueId> inputs = rewrite_(node.inputs);
    ValueId& grad = inputs[graph::MuonOp::kGrad];
    if (rewrite_.result().type(grad).dtype == dtype_) grad = cast(grad, DType::kF32, node);
    rewrite_.copy(node, node.op, std::move(inputs));
  }

  ValueId cast(ValueId value, DType to, const Node& node) {
    return add(std::make_shared<graph::CastOp>(to, false), {value}, node, ".round");
  }
  ValueId add(graph::OpPtr op, std::vector<ValueId> inputs, const Node& node, const char* suffix) {
    return rewrite_.result().add_node(std::move(op), std::move(inputs), node.phase, node.layer,
                                      node.name + suffix)[0];
  }

  const Graph& graph_;
  DType dtype_;
  Rewrite rewrite_;
  std::set<ValueId> terms_;
};

}  // namespace

Graph round_gradients(const Graph& graph, DType dtype) {
  if (dtype == DType::kF32) return graph;
  ASHLAR_CHECK(dtype == DType::kBF16, "gradients: dtype {} is not f32 or bf16", name(dtype));
  return Rounder(graph, dtype).run();
}

}  // namespace ashlar::passes
