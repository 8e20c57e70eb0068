#include "ashlar/passes/plan_memory.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/passes/interval_packing.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <optional>
#include <set>

namespace ashlar::passes {
namespace {

using graph::Alias;
using graph::Graph;
using graph::Location;
using graph::Node;
using graph::Operand;
using graph::Phase;
using graph::PlannedPrograms;
using graph::Program;
using graph::Step;
using graph::ValueId;
using graph::VariableKind;

// Programs in the order in which a step passes them.
enum ProgramId { kForward, kBackward, kWeightGrad, kReduce, kNorm, kUpdate, kProgramCount };

// Storage that one or more values share (in place), and when it is alive. Time counts nodes in the
// order they run, over all Programs.
struct Buffer {
  int64_t bytes = 0;
  int first = 0, last = 0;
  bool crosses = false;     // written by one Program, read by a later one
  bool for_weight = false;  // which is that of the weight gradients
  std::optional<VariableKind> stands_for = {};
};

using Regions = std::map<Location::Kind, std::vector<Interval>>;
using Home = std::pair<Location::Kind, size_t>;  // of a buffer: its place in a region

class Planner {
 public:
  Planner(const Graph& graph, const PlanOptions& options) : graph_(graph), options_(options) {
    ASHLAR_CHECK(options.slots >= 1, "plan: {} microbatch slots, at least 1 is needed",
                 options.slots);
    ASHLAR_CHECK(options.weight_slots >= 0, "plan: {} slots for weight gradients is negative",
                 options.weight_slots);
    order_nodes();
    find_last_uses();
    assign_buffers();
  }

  PlannedPrograms run() {
    plan_.max_bindings = options_.max;
    plan_.slots = options_.slots;
    plan_.weight_slots = options_.weight_slots;
    measure_scratch();
    place();
    plan_.stand_ins = {most_at_once(VariableKind::kParameter),
                       most_at_once(VariableKind::kGradient)};
    write_programs();
    return std::move(plan_);
  }

 private:
  bool splits_backward() const { return options_.weight_slots > 0; }
  bool has_slots() const {
    return options_.slots > 1 || splits_backward() || options_.shares_arena;
  }

  int program_of(Phase phase) const {
    switch (phase) {
      case Phase::kForward:
        return kForward;
      case Phase::kInputGrad:
        return kBackward;
      case Phase::kWeightGrad:
        return splits_backward() ? kWeightGrad : kBackward;
      case Phase::kReduce:
        return kReduce;
      case Phase::kNorm:
        return kNorm;
      case Phase::kUpdate:
        return kUpdate;
    }
    return kForward;
  }
  const char* name_of(int program) const {
    constexpr std::array<const char*, kProgramCount> names = {"forward", "backward", "weight_grad",
                                                              "reduce",  "norm",     "update"};
    return program == kBackward && splits_backward() ? "input_grad"
                                                     : names[static_cast<size_t>(program)];
  }

  void order_nodes() {
    time_.resize(graph_.nodes().size());
    for (int program = 0; program < kProgramCount; ++program) {
      for (size_t i = 0; i < graph_.nodes().size(); ++i) {
        if (program_of(graph_.nodes()[i].phase) != program) continue;
        time_[i] = static_cast<int>(order_.size());
        order_.push_back(static_cast<int>(i));
      }
      end_[static_cast<size_t>(program)] = static_cast<int>(order_.size());
    }
  }

  void find_last_uses() {
    last_use_.assign(graph_.values().size(), -1);
    last_program_.assign(graph_.values().size(), -1);
    read_for_weight_.assign(graph_.values().size(), false);
    for (const int i : order_) {
      const Node& node = graph_.node(i);
      const int program = program_of(node.phase);
      for (const ValueId input : node.inputs) {
        if (!input.valid()) continue;
        last_use_[index(input)] = time_[static_cast<size_t>(i)];
        last_program_[index(input)] = program;
        if (program == kWeightGrad) read_for_weight_[index(input)] = true;
      }
      for (const ValueId output : node.outputs) {
        last_use_[index(output)] =
            std::max(last_use_[index(output)], time_[static_cast<size_t>(i)]);
      }
    }
    // Results are read by the caller after the run.
    for (const auto& [name, id] : graph_.outputs()) {
      const int maker = graph_.value(id).producer;
      const bool until_next = options_.shares_arena && maker >= 0;
      const int end = until_next
                          ? end_[static_cast<size_t>(program_of(graph_.node(maker).phase))] - 1
                          : static_cast<int>(order_.size());
      last_use_[index(id)] = std::max(last_use_[index(id)], end);
      results_.insert(id);
    }
  }

  void assign_buffers() {
    buffer_of_.assign(graph_.values().size(), -1);
    for (const int i : order_) {
      const Node& node = graph_.node(i);
      const std::vector<Alias> aliases = node.op->aliases();
      for (size_t o = 0; o < node.outputs.size(); ++o) {
        const ValueId output = node.outputs[o];
        if (graph_.value(output).variable.valid()) continue;  // lives in the Variable's storage
        int buffer = -1;
        for (const Alias& alias : aliases) {
          if (alias.output != static_cast<int>(o)) continue;
          buffer = alias.required ? buffer_of_[index(node.inputs[static_cast<size_t>(alias.input)])]
                                  : reusable_input(node, alias.input, output, i);
          if (buffer >= 0) break;
        }
        if (buffer < 0) {
          buffer = static_cast<int>(buffers_.size());
          const int now = time_[static_cast<size_t>(i)];
          buffers_.push_back(
              {.bytes = bytes(output), .first = now, .last = now, .stands_for = stands_for(node)});
        }
        Buffer& storage = buffers_[static_cast<size_t>(buffer)];
        storage.last = std::max(storage.last, last_use_[index(output)]);
        storage.crosses = storage.crosses || crosses(output);
        storage.for_weight = storage.for_weight || read_for_weight_[index(output)];
        buffer_of_[index(output)] = buffer;
      }
    }
  }

  // The buffer of an input that dies here and may carry the output, or -1.
  int reusable_input(const Node& node, int input, ValueId output, int node_index) const {
    const ValueId old = node.inputs[static_cast<size_t>(input)];
    if (!old.valid() || results_.contains(old)) return -1;
    const int buffer = buffer_of_[index(old)];
    if (buffer < 0 || bytes(old) != bytes(output)) return -1;
    // The whole buffer must end here: a value that shares it may live on.
    if (buffers_[static_cast<size_t>(buffer)].last != time_[static_cast<size_t>(node_index)]) {
      return -1;
    }
    if (std::ranges::count(node.inputs, old) != 1) return -1;
    for (const ValueId sibling : node.outputs) {  // no two outputs in one buffer
      if (buffer_of_[index(sibling)] == buffer) return -1;
    }
    for (size_t k = 0; k < node.inputs.size(); ++k) {  // nor two inputs
      if (static_cast<int>(k) != input && node.inputs[k].valid() &&
          buffer_of_[index(node.inputs[k])] == buffer) {
        return -1;
      }
    }
    return buffer;
  }

  bool crosses(ValueId value) const {
    const int made = program_of(graph_.node(graph_.value(value).producer).phase);
    const bool crosses = last_program_[index(value)] > made;
    // R of one chunk goes on while others run, and holds no slot.
    ASHLAR_CHECK(
        !(made == kReduce && options_.shares_arena),
        "plan: {} is made in phase R, but is no Variable: it has no place in an arena that "
        "others share",
        graph_.value(value).name);
    return crosses;
  }

  void measure_scratch() {
    for (const int i : order_) {
      const Node& node = graph_.node(i);
      const auto inputs = operands(node.inputs), outputs = operands(node.outputs);
      scratch_.push_back(
          node.op->scratch_bytes(inputs, outputs, *options_.table, options_.threads));
    }
  }

  void place() {
    Regions regions;
    std::vector<Interval>& arena = regions[Location::Kind::kArena];
    std::vector<Home> home;
    for (const Buffer& buffer : buffers_) {
      const bool in_slot = has_slots() && buffer.crosses;
      const Location::Kind kind = !in_slot            ? Location::Kind::kArena
                                  : buffer.for_weight ? Location::Kind::kWeightSlot
                                                      : Location::Kind::kSlot;
      home.emplace_back(kind, regions[kind].size());
      regions[kind].push_back({buffer.bytes, buffer.first, buffer.last, -1});
    }
    const size_t first_scratch = arena.size();
    for (size_t t = 0; t < scratch_.size(); ++t) {
      arena.push_back({scratch_[t], static_cast<int>(t), static_cast<int>(t), -1});
    }
    plan_.arena_bytes = pack_intervals(arena);
    plan_.slot_bytes = pack_intervals(regions[Location::Kind::kSlot]);
    plan_.weight_slot_bytes = pack_intervals(regions[Location::Kind::kWeightSlot]);
    for (size_t t = 0; t < scratch_.size(); ++t) {
      scratch_offset_.push_back(arena[first_scratch + t].offset);
    }
    place_values(regions, home);
  }

  void place_values(const Regions& regions, const std::vector<Home>& home) {
    plan_.values.resize(graph_.values().size());
    int64_t input_index = 0;
    for (const auto& [name, id] : graph_.inputs()) {
      plan_.values[index(id)] = {Location::Kind::kInput, input_index++};
    }
    for (size_t v = 0; v < plan_.values.size(); ++v) {
      const graph::ValueInfo& value = graph_.values()[v];
      if (value.variable.valid()) {
        plan_.values[v] = {Location::Kind::kVariable, value.variable.index, part_offset(value)};
      } else if (buffer_of_[v] >= 0) {
        const auto [kind, i] = home[static_cast<size_t>(buffer_of_[v])];
        plan_.values[v] = {kind, regions.at(kind)[i].offset};
      }
    }
  }

  // The kind of Variable of which the node gathers or makes more than this rank holds.
  std::optional<VariableKind> stands_for(const Node& node) const {
    if (dynamic_cast<const graph::ZerosOp*>(node.op.get())) return VariableKind::kGradient;
    // As made, or rounded before it leaves.
    const bool rounds = dynamic_cast<const graph::CastOp*>(node.op.get()) != nullptr;
    const bool moves = dynamic_cast<const graph::AllGatherOp*>(node.op.get()) != nullptr ||
                       dynamic_cast<const graph::ReduceScatterOp*>(node.op.get()) != nullptr;
    if (!moves && !rounds) return std::nullopt;
    const graph::ValueInfo& from = graph_.value(node.inputs[0]);
    if (from.variable.valid()) {
      return moves ? std::optional(VariableKind::kParameter) : std::nullopt;
    }
    const int buffer = buffer_of_[index(node.inputs[0])];  // half way
    return buffer < 0 ? std::nullopt : buffers_[static_cast<size_t>(buffer)].stands_for;
  }

  int64_t most_at_once(VariableKind kind) const {
    std::vector<int64_t> change(order_.size() + 1, 0);
    for (const Buffer& buffer : buffers_) {
      if (buffer.stands_for != kind) continue;
      change[static_cast<size_t>(buffer.first)] += buffer.bytes;
      change[static_cast<size_t>(buffer.last) + 1] -= buffer.bytes;
    }
    int64_t now = 0, most = 0;
    for (const int64_t bytes : change) most = std::max(most, now += bytes);
    return most;
  }

  void write_programs() {
    for (int p = 0; p < kProgramCount; ++p) {
      Program program;
      program.name = name_of(p);
      std::set<graph::VariableId> reads, writes;
      for (size_t t = 0; t < order_.size(); ++t) {
        const Node& node = graph_.node(order_[t]);
        if (program_of(node.phase) != p) continue;
        Step step;
        step.node = order_[t];
        step.scratch_offset = scratch_offset_[t];
        step.scratch_bytes = scratch_[t];
        for (const ValueId input : node.inputs) step.inputs.push_back(location(input));
        for (const ValueId output : node.outputs) step.outputs.push_back(location(output));
        for (const ValueId input : node.inputs) {
          if (input.valid() && graph_.value(input).variable.valid()) {
            reads.insert(graph_.value(input).variable);
          }
        }
        for (const ValueId output : node.outputs) {
          if (graph_.value(output).variable.valid()) writes.insert(graph_.value(output).variable);
        }
        program.steps.push_back(std::move(step));
      }
      program.reads.assign(reads.begin(), reads.end());
      program.writes.assign(writes.begin(), writes.end());
      if (!program.steps.empty()) plan_.programs.push_back(std::move(program));
    }
  }

  static size_t index(ValueId id) { return static_cast<size_t>(id.index); }
  Location location(ValueId id) const { return id.valid() ? plan_.values[index(id)] : Location{}; }

  int64_t part_offset(const graph::ValueInfo& value) const {
    const graph::Variable& variable = graph_.variable(value.variable);
    if (value.first_row == 0) return 0;
    return variable.bytes() / variable.shape[0] * value.first_row;
  }
  int64_t bytes(ValueId id) const {
    const graph::ValueType& type = graph_.type(id);
    return type.shape.bind(options_.max).elements() * size_of(type.dtype);
  }

  std::vector<Operand> operands(const std::vector<ValueId>& ids) const {
    std::vector<Operand> result;
    for (const ValueId id : ids) {
      Operand operand;
      if (id.valid()) {
        operand.dtype = graph_.type(id).dtype;
        operand.shape = graph_.type(id).shape.bind(options_.max);
      } else {
        operand.shape = Shape{0};
        operand.present = false;
      }
      result.push_back(operand);
    }
    return result;
  }

  const Graph& graph_;
  const PlanOptions& options_;
  PlannedPrograms plan_;
  std::vector<int> order_;                // nodes as they run
  std::vector<int> time_;                 // of each node
  std::array<int, kProgramCount> end_{};  // of each Program
  std::vector<int> last_use_;             // of each value
  std::vector<int> last_program_;         // that reads each value
  std::vector<bool> read_for_weight_;     // by "weight_grad"
  std::vector<int> buffer_of_;
  std::vector<Buffer> buffers_;
  std::set<ValueId> results_;
  std::vector<int64_t> scratch_, scratch_offset_;  // by time
};

}  // namespace

PlannedPrograms plan_memory(const Graph& graph, const PlanOptions& options) {
  return Planner(graph, options).run();
}

}  // namespace ashlar::passes
