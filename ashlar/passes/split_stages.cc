#include "ashlar/passes/split_stages.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/graph/ops/optimizer.h"
#include "ashlar/graph/ops/start_sum.h"
#include "ashlar/passes/stage_assignment.h"

#include <algorithm>
#include <map>
#include <memory>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Phase;
using graph::Stage;
using graph::ValueId;
using graph::VariableId;
using graph::VariableKind;

// How far a value made on one stage travels.
struct Route {
  int from = 0;
  int up = 0;    // the last stage it reaches in messages of F; `from`: none
  int down = 0;  // the first it reaches in messages of B
};

// The values that cross borders, in the order in which messages hold them.
class Routes {
 public:
  Routes(const Graph& graph, const StageAssignment& assignment)
      : graph_(graph), assignment_(assignment) {
    for (size_t i = 0; i < graph.nodes().size(); ++i) {
      for (const ValueId input : graph.nodes()[i].inputs) add(graph.nodes()[i], i, input);
    }
    std::map<std::string, int> times;
    for (const auto& [value, route] : routes_) {
      const std::string& name = graph.value(value).name;
      const int before = times[name]++;
      names_[value] = before == 0 ? name : fmt::format("{}#{}", name, before);
    }
  }

  const std::map<ValueId, Route>& all() const { return routes_; }
  const std::string& name(ValueId value) const { return names_.at(value); }

 private:
  void add(const Node& reader, size_t index, ValueId value) {
    if (!value.valid()) return;
    const graph::ValueInfo& info = graph_.value(value);
    // Of a Variable each stage that holds it has its own version.
    if (info.producer < 0 || info.variable.valid()) return;
    const StageSet& made = assignment_.nodes[static_cast<size_t>(info.producer)];
    for (const int stage : assignment_.nodes[index]) {
      if (made.contains(stage)) continue;
      const int from = *made.begin();
      Route& route = routes_.try_emplace(value, Route{from, from, from}).first->second;
      const Phase phase = graph_.node(info.producer).phase;
      const bool with_forward = phase == Phase::kForward && stage > from;
      const bool with_backward =
          phase <= Phase::kInputGrad && stage < from &&
          (reader.phase == Phase::kInputGrad || reader.phase == Phase::kWeightGrad);
      ASHLAR_CHECK(
          made.size() == 1 && (with_forward || with_backward),
          "pipeline: {} on stage {} reads {}, which stage {} makes in phase {}: no message "
          "goes that way",
          reader.name, stage, info.name, from, name_of(phase));
      if (with_forward) route.up = std::max(route.up, stage);
      if (with_backward) route.down = std::min(route.down, stage);
    }
  }
  static std::string_view name_of(Phase phase) { return graph::name(phase); }

  const Graph& graph_;
  const StageAssignment& assignment_;
  std::map<ValueId, Route> routes_;
  std::map<ValueId, std::string> names_;
};

// Nodes of the update that the norm's share of a stage depends on.
std::vector<bool> nodes_before_norm(const Graph& graph) {
  std::vector<bool> before(graph.nodes().size(), false);
  for (size_t i = before.size(); i-- > 0;) {
    const Node& node = graph.nodes()[i];
    if (node.phase != Phase::kUpdate) continue;
    const bool clips = dynamic_cast<const graph::ClipScaleOp*>(node.op.get()) != nullptr;
    if (!clips && !before[i]) continue;
    for (const ValueId input : node.inputs) {
      const int maker = input.valid() ? graph.value(input).producer : -1;
      if (maker >= 0) before[static_cast<size_t>(maker)] = true;
    }
  }
  return before;
}

class StageWriter {
 public:
  StageWriter(const Graph& graph, const StageAssignment& assignment, const Routes& routes,
              const std::vector<bool>& before_norm, int stage, int stages)
      : graph_(graph),
        assignment_(assignment),
        routes_(routes),
        before_norm_(before_norm),
        stage_(stage),
        mapped_(graph.values().size()),
        variables_(graph.variables().size()) {
    result_.index = stage;
    result_.count = stages;
  }

  Stage run() {
    add_received();
    for (size_t i = 0; i < graph_.nodes().size(); ++i) {
      if (assignment_.nodes[i].contains(stage_)) write(graph_.nodes()[i], before_norm_[i]);
    }
    add_sent();
    for (const auto& [name, id] : graph_.outputs()) {
      if (mapped_[at(id)].valid()) result_.graph.mark_output(name, mapped_[at(id)]);
    }
    list_gradients();
    for (size_t v = 0; v < variables_.size(); ++v) {
      const StageSet& stages = assignment_.variables[v];
      if (!variables_[v].valid() || *stages.begin() == stage_) continue;
      const graph::Variable& variable = graph_.variables()[v];
      if (variable.kind != VariableKind::kConstant) result_.borrowed.push_back(variable.name);
    }
    return std::move(result_);
  }

 private:
  static size_t at(ValueId id) { return static_cast<size_t>(id.index); }

  void add_received() {
    for (const auto& [value, route] : routes_.all()) {
      const bool with_forward = route.from < stage_ && stage_ <= route.up;
      const bool with_backward = route.down <= stage_ && stage_ < route.from;
      if (!with_forward && !with_backward) continue;
      const std::string& name = routes_.name(value);
      (with_forward ? result_.activation_in : result_.gradient_in).push_back(name);
      mapped_[at(value)] = result_.graph.add_input(graph::kRecv + name, graph_.type(value));
    }
  }

  void add_sent() {
    for (const auto& [value, route] : routes_.all()) {
      const std::string output = graph::kSend + routes_.name(value);
      if (route.from <= stage_ && stage_ < route.up) {
        result_.activation_out.push_back(routes_.name(value));
        result_.graph.mark_output(output, mapped_[at(value)]);
      }
      if (route.down < stage_ && stage_ <= route.from) {
        result_.gradient_out.push_back(routes_.name(value));
        result_.graph.mark_output(output, leaving_with_backward(value));
      }
    }
  }

  // What forward made leaves with B as a copy that B makes, so that it is there when B has run.
  ValueId leaving_with_backward(ValueId value) {
    const ValueId here = mapped_[at(value)];
    const Node& maker = graph_.node(graph_.value(value).producer);
    if (result_.graph.value(here).producer < 0 || maker.phase != Phase::kForward) return here;
    const auto copy = std::make_shared<graph::RowsOp>(graph_.type(value).shape[0], 1, 0);
    return result_.graph.add_node(copy, {here}, Phase::kInputGrad, maker.layer,
                                  maker.name + ".send")[0];
  }

  VariableId variable(VariableId old) {
    VariableId& now = variables_[static_cast<size_t>(old.index)];
    if (now.valid()) return now;
    graph::Variable copy = graph_.variable(old);
    if (copy.source.valid()) copy.source = variable(copy.source);
    now = result_.graph.add_variable(std::move(copy));
    return now;
  }

  ValueId value(ValueId old) {
    if (!old.valid()) return old;
    ValueId& now = mapped_[at(old)];
    if (now.valid()) return now;
    const graph::ValueInfo& info = graph_.value(old);
    // A version that another stage makes of its copy is here the newest one of ours.
    if (info.variable.valid()) return result_.graph.current(variable(info.variable));
    now = result_.graph.add_input(info.name, info.type);
    return now;
  }

  bool holds(ValueId id) const {
    return assignment_.variables[static_cast<size_t>(graph_.value(id).variable.index)].contains(
        stage_);
  }

  void write(const Node& node, bool before_norm) {
    if (is_distributed(graph_, node)) return write_distributed(node, before_norm);
    for (const ValueId input : node.inputs) start_sum(node, input);
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) inputs.push_back(value(input));
    if (const auto* clip = dynamic_cast<const graph::ClipScaleOp*>(node.op.get())) {
      result_.max_norm = clip->max_norm();
      join(inputs[0]);
    }
    add(node, node.op, std::move(inputs), node.outputs, before_norm);
  }

  void add(const Node& node, graph::OpPtr op, std::vector<ValueId> inputs,
           const std::vector<ValueId>& old_outputs, bool before_norm) {
    const bool norm = before_norm && node.phase == Phase::kUpdate;
    const auto outputs = result_.graph.add_node(
        std::move(op), std::move(inputs), norm ? Phase::kNorm : node.phase, node.layer, node.name);
    if (node.recomputed) result_.graph.mark_recomputed();
    for (size_t i = 0; i < outputs.size(); ++i) mapped_[at(old_outputs[i])] = outputs[i];
  }

  // The op over those of its Variables that this stage holds; of a sum of squares those it owns.
  // What another rank counts is absent.
  void write_distributed(const Node& node, bool before_norm) {
    const auto* all_reduce = dynamic_cast<const graph::AllReduceOp*>(node.op.get());
    std::vector<ValueId> inputs, outputs;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId input = node.inputs[i];
      if (!input.valid() || !holds(input)) continue;
      const VariableId variable = graph_.value(input).variable;
      const StageSet& stages = assignment_.variables[static_cast<size_t>(variable.index)];
      if (all_reduce == nullptr && *stages.begin() != stage_) continue;
      inputs.push_back(value(input));
      if (all_reduce != nullptr) outputs.push_back(node.outputs[i]);
    }
    if (all_reduce == nullptr) outputs = node.outputs;
    const graph::OpPtr op =
        all_reduce == nullptr ? node.op : all_reduce->over(static_cast<int>(inputs.size()));
    add(node, op, std::move(inputs), outputs, before_norm);
  }

  // A gradient whose first contribution of the step another stage makes still begins at zero.
  void start_sum(const Node& node, ValueId input) {
    if (!input.valid()) return;
    const graph::ValueInfo& info = graph_.value(input);
    if (!info.variable.valid() || info.producer < 0 || mapped_[at(input)].valid() ||
        graph_.variable(info.variable).kind != VariableKind::kGradient) {
      return;
    }
    const ValueId current = result_.graph.current(variable(info.variable));
    if (result_.graph.value(current).producer >= 0) return;
    result_.graph.add_node(std::make_shared<graph::StartSumOp>(), {current}, node.phase, node.layer,
                           node.name + ".start_sum");
  }

  void join(ValueId& squares) {
    const graph::ValueType type = result_.graph.type(squares);
    result_.graph.mark_output(graph::kSquaresPart, squares);
    squares = result_.graph.add_input(graph::kSquaresWhole, type);
  }

  void list_gradients() {
    for (const Node& node : graph_.nodes()) {
      if (node.phase != Phase::kUpdate) continue;
      for (const ValueId input : node.inputs) {
        if (!input.valid() || !graph_.value(input).variable.valid() || !holds(input)) continue;
        const graph::ValueInfo& value = graph_.value(input);
        const graph::Variable& variable = graph_.variable(value.variable);
        if (variable.kind != VariableKind::kGradient ||
            std::ranges::find(result_.gradients, variable.name, &graph::StageGradient::name) !=
                result_.gradients.end()) {
          continue;
        }
        const StageSet& stages = assignment_.variables[static_cast<size_t>(value.variable.index)];
        result_.gradients.push_back({variable.name,
                                     value.first_row,
                                     value.type.shape[0].bind({}),
                                     {stages.begin(), stages.end()}});
      }
    }
  }

  const Graph& graph_;
  const StageAssignment& assignment_;
  const Routes& routes_;
  const std::vector<bool>& before_norm_;
  int stage_;
  std::vector<ValueId> mapped_;
  std::vector<VariableId> variables_;
  Stage result_;
};

}  // namespace

std::vector<Stage> split_stages(const Graph& graph, int stages, const std::vector<bool>& alike) {
  const StageAssignment assignment = assign_stages(graph, stages);
  const Routes routes(graph, assignment);
  const std::vector<bool> before_norm = nodes_before_norm(graph);
  std::vector<Stage> result;
  for (int stage = 0; stage < stages; ++stage) {
    result.push_back(StageWriter(graph, assignment, routes, before_norm, stage, stages).run());
    for (const auto& [value, route] : routes.all()) {
      const bool same = !alike.empty() && alike[static_cast<size_t>(value.index)];
      if (same) result.back().alike.insert(routes.name(value));
    }
  }
  return result;
}

}  // namespace ashlar::passes
