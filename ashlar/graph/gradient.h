// What an op sees while its backward is written: the gradients of its outputs, which inputs want
// one, and where to put it. Gradients of activations are values; those of parameters are added to a
// gradient Variable by ops of phase W.
#pragma once

#include "ashlar/graph/builder.h"

#include <map>
#include <string>
#include <vector>

namespace ashlar::graph {

// Collected by the differentiate pass over all nodes.
struct GradientState {
  std::map<ValueId, ValueId> of_value;           // activation -> its gradient so far
  std::map<VariableId, VariableId> of_variable;  // parameter -> gradient Variable
  std::vector<bool> wanted;                      // per value: leads to a trainable parameter
};

class GradientContext {
 public:
  GradientContext(Graph& graph, const Node& node, GradientState& state);

  const Node& node() const { return node_; }
  ValueId input(int i) const { return node_.inputs[static_cast<size_t>(i)]; }
  ValueId output(int i) const { return node_.outputs[static_cast<size_t>(i)]; }
  ValueId grad(int output) const;  // invalid when nothing flows back into it
  bool wants(int input) const;
  const ValueType& type(ValueId id) const { return graph_.type(id); }

  // An op of phase B whose name is the node's plus `suffix`.
  std::vector<ValueId> apply(OpPtr op, std::vector<ValueId> inputs, const std::string& suffix);
  // The gradient of an activation input; adds to what other users contributed.
  void set(int input, ValueId gradient);

  // Parameters: `op` takes the gradient Variable's current version as its last input and returns
  // the next version; make(first) builds it, first saying that nothing was added before in this
  // step.
  template <typename MakeOp>
  void add_to_parameter(int input, MakeOp make, std::vector<ValueId> inputs,
                        const std::string& suffix) {
    const auto [gradient, first] = gradient_of_parameter(input);
    inputs.push_back(gradient);
    apply_weight_grad(make(first), std::move(inputs), suffix);
  }
  // The same for ops that add to several parameters at once (norms): the caller lays out inputs.
  std::pair<ValueId, bool> gradient_of_parameter(int input);
  std::vector<ValueId> apply_weight_grad(OpPtr op, std::vector<ValueId> inputs,
                                         const std::string& suffix);

 private:
  Graph& graph_;
  Node node_;  // a copy: the graph's nodes move while we append
  GradientState& state_;
};

}  // namespace ashlar::graph
