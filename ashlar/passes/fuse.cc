#include "ashlar/passes/fuse.h"

#include "ashlar/graph/ops/collective.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/grouped_linear.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/loss.h"
#include "ashlar/graph/ops/moe_rows.h"
#include "ashlar/graph/ops/norm.h"
#include "ashlar/graph/ops/optimizer.h"
#include "ashlar/passes/rewrite.h"

#include <functional>
#include <set>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::ValueId;
using Loss = graph::LinearCrossEntropyGradOp;

template <typename T>
const T* as(const Node& node) {
  return dynamic_cast<const T*>(node.op.get());
}

// The input slot into which a node can take a sum's other term, or -1.
int free_residual(const Node& node) {
  int slot = -1;
  if (const auto* linear = as<graph::LinearOp>(node)) {
    // With a fused activation the residual is still added last, which is what a sum after it means.
    if (linear != nullptr) slot = graph::LinearOp::kResidual;
  } else if (as<graph::LinearInputGradOp>(node)) {
    slot = 2;
  } else if (as<graph::NormInputGradOp>(node)) {
    slot = graph::NormInputGradOp::kResidual;
  } else if (as<graph::GroupedLinearInputGradOp>(node)) {
    slot = graph::GroupedLinearInputGradOp::kResidual;
  } else if (as<graph::MoeCombineOp>(node)) {
    slot = graph::MoeCombineOp::kResidual;
  }
  if (slot < 0 || node.inputs[static_cast<size_t>(slot)].valid()) return -1;
  return slot;
}

// One pass over the nodes: `absorbed` nodes are left out and come back merged at their only user.
class Fuser {
 public:
  explicit Fuser(const Graph& graph) : graph_(graph), uses_(count_uses(graph)), rewrite_(graph) {
    for (const Node& node : graph.nodes()) plan_sum(node);
    plan_loss();
  }

  Graph run() {
    for (size_t i = 0; i < graph_.nodes().size(); ++i) {
      const Node& node = graph_.nodes()[i];
      if (left_out_.contains(static_cast<int>(i))) continue;
      const auto merged = merged_.find(static_cast<int>(i));
      if (merged != merged_.end()) {
        merged->second(node);
      } else {
        rewrite_.copy(node);
      }
    }
    return rewrite_.take();
  }

 private:
  int producer(ValueId id) const { return id.valid() ? graph_.value(id).producer : -1; }
  bool only_use(ValueId id) const { return uses_[static_cast<size_t>(id.index)] == 1; }
  int index_of(const Node& node) const { return static_cast<int>(&node - graph_.nodes().data()); }

  // a + b, where a comes from a node with room for a residual and nobody else reads a: that node
  // moves here and takes b. Also an activation of a linear, and a cast of AdamW's result.
  void plan_sum(const Node& node) {
    if (as<graph::AddOp>(node)) {
      for (const int i : {0, 1}) {
        const ValueId term = node.inputs[static_cast<size_t>(i)];
        const ValueId other = node.inputs[static_cast<size_t>(1 - i)];
        const int maker = producer(term);
        if (maker < 0 || !only_use(term) || term == other || taken(maker)) continue;
        const int slot = free_residual(graph_.node(maker));
        if (slot < 0) continue;
        left_out_.insert(maker);
        merged_[index_of(node)] = [this, maker, slot, other](const Node& sum) {
          const Node& source = graph_.node(maker);
          std::vector<ValueId> inputs = rewrite_(source.inputs);
          inputs[static_cast<size_t>(slot)] = rewrite_(other);
          emit(source, source.op, std::move(inputs), sum);
        };
        return;
      }
    }
    if (const auto* activation = as<graph::ActivationOp>(node)) {
      const ValueId x = node.inputs[0];
      const int maker = producer(x);
      if (maker < 0 || !only_use(x) || taken(maker)) return;
      const Node& source = graph_.node(maker);
      const auto* linear = as<graph::LinearOp>(source);
      if (linear == nullptr || linear->activation() != kernels::Activation::kNone ||
          source.inputs[graph::LinearOp::kResidual].valid()) {
        return;
      }
      left_out_.insert(maker);
      merged_[index_of(node)] = [this, maker, linear, activation](const Node& result) {
        const Node& linear_node = graph_.node(maker);
        emit(linear_node,
             std::make_shared<graph::LinearOp>(activation->activation(), linear->out(),
                                               linear->packed()),
             rewrite_(linear_node.inputs), result);
      };
    }
    if (as<graph::CastOp>(node) && node.inputs.size() == 2) {
      const ValueId param = node.inputs[0];
      const int maker = producer(param);
      if (maker < 0 || taken(maker)) return;
      const auto* adamw = as<graph::AdamWOp>(graph_.node(maker));
      if (adamw == nullptr || adamw->has_shadow()) return;
      const ValueId shadow = node.inputs[1];
      if (producer(shadow) > maker) return;  // a part of it, which is not there yet
      left_out_.insert(index_of(node));
      const ValueId new_shadow = node.outputs[0];
      merged_[maker] = [this, adamw, shadow, new_shadow](const Node& update) {
        std::vector<ValueId> inputs = rewrite_(update.inputs);
        inputs[graph::AdamWOp::kShadow] = rewrite_(shadow);
        const auto outputs = rewrite_.copy(
            update, std::make_shared<graph::AdamWOp>(adamw->spec(), true), std::move(inputs));
        rewrite_.map(new_shadow, outputs[3]);
      };
    }
  }

  // loss, its input gradient and its weight gradient over the same inputs become one node in the
  // loss's place. The head's weight gradient then belongs to F.
  void plan_loss() {
    for (const Node& loss : graph_.nodes()) {
      if (!as<graph::LinearCrossEntropyOp>(loss)) continue;
      const Node* input_grad = nullptr;
      const Node* weight_grad = nullptr;
      for (const Node& node : graph_.nodes()) {
        const auto* grad = as<graph::LinearCrossEntropyGradOp>(node);
        if (grad == nullptr || grad->wants().loss ||
            !std::equal(loss.inputs.begin(), loss.inputs.begin() + 4, node.inputs.begin())) {
          continue;
        }
        (grad->wants().input_grad ? input_grad : weight_grad) = &node;
      }
      // The gradient Variable must not have been changed before the loss. A term that other ranks
      // add to begins at zeros, which then move here too.
      std::vector<int> zeros;
      if (weight_grad != nullptr && !only_zeros_before(*weight_grad, zeros)) weight_grad = nullptr;
      if (input_grad == nullptr && weight_grad == nullptr) continue;
      if (input_grad != nullptr) left_out_.insert(index_of(*input_grad));
      if (weight_grad != nullptr) {
        left_out_.insert(index_of(*weight_grad));
        left_out_.insert(zeros.begin(), zeros.end());
      }
      merged_[index_of(loss)] = [this, input_grad, weight_grad, zeros](const Node& node) {
        if (weight_grad != nullptr) {
          for (const int maker : zeros) {
            const Node& zero = graph_.node(maker);
            rewrite_.map(zero.outputs[0], rewrite_.result().add_node(zero.op, {}, node.phase,
                                                                     node.layer, zero.name)[0]);
          }
        }
        emit_loss(node, input_grad, weight_grad);
      };
    }
  }

  // Whether the gradients that a loss adds to are as the step finds them, or zeros (collected).
  bool only_zeros_before(const Node& weight_grad, std::vector<int>& zeros) const {
    for (const int input : {Loss::kGrad, Loss::kBiasGrad}) {
      if (static_cast<size_t>(input) >= weight_grad.inputs.size()) continue;
      const int maker = producer(weight_grad.inputs[static_cast<size_t>(input)]);
      if (maker < 0) continue;
      if (!as<graph::ZerosOp>(graph_.node(maker))) return false;
      zeros.push_back(maker);
    }
    return true;
  }

  // The loss with the gradients that are not null.
  void emit_loss(const Node& loss, const Node* input_grad, const Node* weight_grad) {
    const auto* op = as<graph::LinearCrossEntropyOp>(loss);
    const auto variable = [&](int input) {
      if (weight_grad == nullptr) return ValueId{};
      return rewrite_(weight_grad->inputs[static_cast<size_t>(input)]);
    };
    Loss::Wants wants{.loss = true, .input_grad = input_grad != nullptr};
    if (weight_grad != nullptr) {
      wants.weight_grad = true;
      wants.first = as<Loss>(*weight_grad)->wants().first;
    }
    std::vector<ValueId> inputs = rewrite_(loss.inputs);
    inputs.insert(inputs.begin() + Loss::kGrad, variable(Loss::kGrad));
    if (op->head().bias) inputs.push_back(variable(Loss::kBiasGrad));
    const auto outputs = rewrite_.copy(loss, std::make_shared<Loss>(wants, op->head(), op->slice()),
                                       std::move(inputs));
    size_t next = 1;
    if (input_grad != nullptr) rewrite_.map(input_grad->outputs[0], outputs[next++]);
    if (weight_grad == nullptr) return;
    for (const ValueId grad : weight_grad->outputs) rewrite_.map(grad, outputs[next++]);
  }

  bool taken(int node) const { return left_out_.contains(node) || merged_.contains(node); }

  // The merged node keeps the absorbed node's name, phase and layer, and stands for `result`.
  void emit(const Node& source, graph::OpPtr op, std::vector<ValueId> inputs, const Node& result) {
    const auto outputs = rewrite_.copy(source, std::move(op), std::move(inputs));
    rewrite_.map(result.outputs[0], outputs[0]);
  }

  const Graph& graph_;
  std::vector<int> uses_;
  Rewrite rewrite_;
  std::set<int> left_out_;
  std::map<int, std::function<void(const Node&)>> merged_;
};

}  // namespace

Graph fuse(const Graph& graph) {
  // A merge can make room for another (a sum of three terms): repeat until nothing changes.
  Graph current = Fuser(graph).run();
  for (size_t before = graph.nodes().size(); current.nodes().size() < before;) {
    before = current.nodes().size();
    current = Fuser(current).run();
  }
  return current;
}

}  // namespace ashlar::passes
