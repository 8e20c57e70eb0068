#include "ashlar/passes/stage_assignment.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/graph/ops/optimizer.h"
#include "ashlar/mesh/slice.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <string>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Phase;
using graph::ValueId;
using graph::VariableId;
using graph::VariableKind;

bool is_update(const Node& node) { return node.phase >= Phase::kReduce; }

std::vector<int> stages_of_layers(const Graph& graph, int stages) {
  int layers = 0;
  for (const Node& node : graph.nodes()) layers = std::max(layers, node.layer + 1);
  ASHLAR_CHECK(stages >= 1 && (stages == 1 || stages <= layers),
               "pipeline: {} layers do not fill {} stages; at most {} stages do", layers, stages,
               std::max(layers, 1));
  std::vector<int> result(static_cast<size_t>(layers));
  for (int stage = 0; stage < stages; ++stage) {
    const Slice slice = slice_of(layers, stages, stage);
    std::fill_n(result.begin() + slice.offset, slice.length, stage);
  }
  return result;
}

class Assigner {
 public:
  Assigner(const Graph& graph, int stages)
      : graph_(graph),
        last_(stages - 1),
        stage_of_layer_(stages_of_layers(graph, stages)),
        users_(graph.nodes().size()),
        constant_(graph.nodes().size(), false) {
    for (int stage = 0; stage < stages; ++stage) all_.insert(stage);
    result_.nodes.resize(graph.nodes().size());
    result_.variables.resize(graph.variables().size());
    for (size_t i = 0; i < graph.nodes().size(); ++i) {
      for (const ValueId input : graph.nodes()[i].inputs) {
        if (producer(input) >= 0) users_[static_cast<size_t>(producer(input))].push_back(i);
      }
    }
  }

  StageAssignment run() {
    find_constant();
    assign_forward();
    assign_backward();
    sum_before_borders();
    assign_constant();
    assign_variables();
    assign_update();
    return std::move(result_);
  }

 private:
  int producer(ValueId id) const { return id.valid() ? graph_.value(id).producer : -1; }
  const Node& node(size_t i) const { return graph_.nodes()[i]; }
  bool is_forward(size_t i) const { return node(i).phase == Phase::kForward && !constant_[i]; }
  bool is_backward(size_t i) const {
    return !is_update(node(i)) && node(i).phase != Phase::kForward && !constant_[i];
  }

  // Of parameters alone: no microbatch changes it.
  bool is_constant(ValueId id) const {
    if (!id.valid()) return true;
    const graph::ValueInfo& value = graph_.value(id);
    if (value.producer >= 0) return constant_[static_cast<size_t>(value.producer)];
    return value.variable.valid() &&
           graph_.variable(value.variable).kind != VariableKind::kGradient;
  }

  void find_constant() {
    for (size_t i = 0; i < constant_.size(); ++i) {
      const auto changes = [&](ValueId output) {
        return graph_.value(output).variable.valid() && !graph_.value(output).part;
      };
      constant_[i] = !is_update(node(i)) && std::ranges::all_of(node(i).inputs, [&](ValueId input) {
        return is_constant(input);
      }) && std::ranges::none_of(node(i).outputs, changes);
    }
  }

  // Nodes of a part of the step that read, directly or not, what a layer of that part made.
  template <typename Part>
  std::vector<bool> behind_layers(const Part& part) const {
    std::vector<bool> behind(graph_.nodes().size(), false);
    for (size_t i = 0; i < behind.size(); ++i) {
      if (!part(i)) continue;
      behind[i] = node(i).layer >= 0;
      for (const ValueId input : node(i).inputs) {
        const int maker = producer(input);
        behind[i] = behind[i] || (maker >= 0 && behind[static_cast<size_t>(maker)]);
      }
    }
    return behind;
  }

  int stage_of_layer(size_t i) const { return stage_of_layer_[static_cast<size_t>(node(i).layer)]; }

  void assign_forward() {
    const auto forward = [this](size_t i) { return is_forward(i); };
    const std::vector<bool> behind = behind_layers(forward);
    for (size_t i = behind.size(); i-- > 0;) {
      if (!forward(i)) continue;
      int stage = last_;
      if (node(i).layer >= 0) {
        stage = stage_of_layer(i);
      } else if (!behind[i]) {
        bool read = false;
        for (const size_t user : users_[i]) {
          if (!forward(user)) continue;
          stage = std::min(stage, *result_.nodes[user].begin());
          read = true;
        }
        if (!read) stage = 0;
      }
      result_.nodes[i] = {stage};
      if (node(i).layer < 0) outside_layers_[node(i).name] = stage;
    }
  }

  // Nodes of backward are named after their forward.
  int stage_by_name(std::string name, int otherwise) const {
    while (true) {
      const auto found = outside_layers_.find(name);
      if (found != outside_layers_.end()) return found->second;
      const size_t dot = name.rfind('.');
      if (dot == std::string::npos) return otherwise;
      name.resize(dot);
    }
  }

  void assign_backward() {
    const auto backward = [this](size_t i) { return is_backward(i); };
    const std::vector<bool> behind = behind_layers(backward);
    for (size_t i = 0; i < behind.size(); ++i) {
      if (!backward(i)) continue;
      result_.nodes[i] = {node(i).layer >= 0 ? stage_of_layer(i)
                                             : stage_by_name(node(i).name, behind[i] ? 0 : last_)};
    }
  }

  // Terms are summed where they are made, so that a border is crossed by their sum, which ranks
  // hold alike, or by a rank's rows of it.
  void sum_before_borders() {
    for (size_t i = 0; i < graph_.nodes().size(); ++i) {
      const graph::Op* op = node(i).op.get();
      const bool sums = dynamic_cast<const graph::AllReduceOp*>(op) != nullptr ||
                        dynamic_cast<const graph::ReduceScatterOp*>(op) != nullptr;
      const int maker = producer(node(i).inputs.empty() ? ValueId{} : node(i).inputs[0]);
      if (!sums || is_update(node(i)) || constant_[i] || maker < 0) continue;
      if (graph_.value(node(i).outputs[0]).variable.valid()) continue;
      result_.nodes[i] = result_.nodes[static_cast<size_t>(maker)];
    }
  }

  void assign_constant() {
    for (size_t i = constant_.size(); i-- > 0;) {
      if (!constant_[i]) continue;
      for (const size_t user : users_[i]) {
        if (!is_update(node(user))) result_.nodes[i].merge(StageSet(result_.nodes[user]));
      }
    }
  }

  void assign_variables() {
    const auto hold = [&](ValueId id, const StageSet& stages) {
      const VariableId variable = id.valid() ? graph_.value(id).variable : VariableId{};
      if (variable.valid()) variable_stages(variable).insert(stages.begin(), stages.end());
    };
    for (size_t i = 0; i < graph_.nodes().size(); ++i) {
      if (is_update(node(i))) continue;
      for (const ValueId input : node(i).inputs) hold(input, result_.nodes[i]);
      for (const ValueId output : node(i).outputs) hold(output, result_.nodes[i]);
    }
    for (size_t v = 0; v < result_.variables.size(); ++v) {
      const VariableId variable{static_cast<int32_t>(v)};
      if (variable_stages(variable).empty()) variable_stages(variable).insert(0);
    }
    for (size_t v = 0; v < result_.variables.size(); ++v) {
      result_.variables[v] = variable_stages({static_cast<int32_t>(v)});
    }
  }

  StageSet& variable_stages(VariableId variable) {
    return result_.variables[static_cast<size_t>(root_of(graph_, variable).index)];
  }

  StageSet stages_of(ValueId id) const {
    const graph::ValueInfo& value = graph_.value(id);
    if (value.variable.valid()) {
      return result_.variables[static_cast<size_t>(value.variable.index)];
    }
    return value.producer < 0 ? all_ : result_.nodes[static_cast<size_t>(value.producer)];
  }

  // An update runs where everything is that it reads.
  void assign_update() {
    for (size_t i = 0; i < graph_.nodes().size(); ++i) {
      if (!is_update(node(i))) continue;
      StageSet& stages = result_.nodes[i];
      if (is_distributed(graph_, node(i))) {
        if (node(i).phase == Phase::kUpdate) stages = all_;
        for (const ValueId input : node(i).inputs) {
          if (input.valid()) stages.merge(stages_of(input));
        }
        continue;
      }
      stages = all_;
      for (const ValueId input : node(i).inputs) {
        if (!input.valid()) continue;
        const StageSet there = stages_of(input);
        StageSet both;
        std::ranges::set_intersection(stages, there, std::inserter(both, both.end()));
        stages = std::move(both);
      }
      ASHLAR_CHECK(!stages.empty(), "pipeline: update op {} ({}) reads values of different stages",
                   node(i).name, node(i).op->kind());
    }
  }

  const Graph& graph_;
  int last_;
  StageSet all_;
  std::vector<int> stage_of_layer_;
  std::vector<std::vector<size_t>> users_;  // of each node
  std::vector<bool> constant_;              // nodes
  std::map<std::string, int> outside_layers_;
  StageAssignment result_;
};

}  // namespace

VariableId root_of(const Graph& graph, VariableId variable) {
  while (graph.variable(variable).source.valid()) variable = graph.variable(variable).source;
  return variable;
}

bool is_distributed(const Graph& graph, const Node& node) {
  if (dynamic_cast<const graph::SumSquaresOp*>(node.op.get()) != nullptr) return true;
  return dynamic_cast<const graph::AllReduceOp*>(node.op.get()) != nullptr &&
         graph.value(node.outputs[0]).variable.valid();
}

StageAssignment assign_stages(const Graph& graph, int stages) {
  return Assigner(graph, stages).run();
}

}  // namespace ashlar::passes
