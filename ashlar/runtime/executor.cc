#include "ashlar/runtime/executor.h"

#include "ashlar/base/error.h"
#include "ashlar/base/fault_report.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/kernels/team.h"
#include "ashlar/runtime/start_points.h"

#include <algorithm>
#include <cmath>

namespace ashlar::runtime {
namespace {

using graph::Bindings;
using graph::Location;
using graph::Operand;
using graph::Symbol;

template <typename T>
bool all_finite(const Operand& operand) {
  const T* values = operand.as<T>();
  for (int64_t i = 0; i < operand.shape.elements(); ++i) {
    if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) {
      if (!std::isfinite(to_float(values[i]))) return false;
    } else {
      if (!std::isfinite(values[i])) return false;
    }
  }
  return true;
}

bool all_finite(const Operand& operand) {
  switch (operand.dtype) {
    case DType::kF64:
      return all_finite<double>(operand);
    case DType::kF32:
      return all_finite<float>(operand);
    case DType::kBF16:
      return all_finite<bf16>(operand);
    case DType::kF16:
      return all_finite<f16>(operand);
    default:
      return true;
  }
}

}  // namespace

Executor::Executor(const graph::Graph& graph, graph::PlannedPrograms plan, VariableStore& store,
                   const kernels::KernelTable& table, ThreadPool& pool,
                   const ExecutorMemory& memory)
    : graph_(graph),
      plan_(std::move(plan)),
      store_(store),
      table_(table),
      pool_(pool),
      arena_(memory.arena == nullptr ? plan_.total_bytes() : 0),
      memory_(memory),
      programs_(plan_.programs.size()),
      inputs_(graph.inputs().size(), nullptr) {
  if (memory.arena == nullptr) {
    std::byte* slots = arena_.data() + plan_.arena_bytes;
    memory_ = {arena_.data(), slots, slots + plan_.slots * plan_.slot_bytes, plan_.slot_bytes,
               plan_.weight_slot_bytes};
  }
  for (size_t i = 0; i < programs_.size(); ++i) bind_program(plan_.programs[i], programs_[i]);
  const int sums = program_index("reduce");
  for (const graph::Program& program : plan_.programs) {
    if (sums < 0) break;
    sums_starts_.push_back(start_points(graph, program, plan_.programs[static_cast<size_t>(sums)]));
  }
}

// Of what lies elsewhere from run to run.
std::byte* Executor::place(const Location& location, SlotPair slot) const {
  switch (location.kind) {
    case Location::Kind::kSlot:
      return memory_.slots + slot.backward * memory_.slot_stride + location.offset;
    case Location::Kind::kWeightSlot:
      return memory_.weight_slots + slot.weight * memory_.weight_slot_stride + location.offset;
    case Location::Kind::kInput:
      // Kernels never write to a run's inputs.
      return static_cast<std::byte*>(
          const_cast<void*>(inputs_[static_cast<size_t>(location.offset)]));
    default:
      return nullptr;
  }
}

Operand Executor::make_operand(graph::ValueId id, const Location& location) const {
  Operand operand;
  operand.shape = Shape{0};
  operand.present = id.valid();
  if (!id.valid()) return operand;
  operand.dtype = graph_.type(id).dtype;
  operand.shape = graph_.type(id).shape.bind(plan_.max_bindings);
  if (location.kind == Location::Kind::kVariable) {
    const auto& variable = graph_.variable({static_cast<int32_t>(location.offset)});
    operand.data = store_.at(variable.name).data() + location.part_offset;
  } else if (location.kind == Location::Kind::kArena) {
    operand.data = memory_.arena + location.offset;
  }
  return operand;
}

void Executor::bind_program(const graph::Program& program, BoundProgram& bound) {
  bound.steps.reserve(program.steps.size());
  for (const graph::Step& step : program.steps) {
    const graph::Node& node = graph_.node(step.node);
    bound.steps.push_back({&node, {}, {}, memory_.arena + step.scratch_offset, step.scratch_bytes});
    BoundStep& target = bound.steps.back();
    const auto bind = [&](const std::vector<graph::ValueId>& ids,
                          const std::vector<Location>& locations, std::vector<Operand>& operands) {
      operands.reserve(ids.size());
      for (size_t i = 0; i < ids.size(); ++i) {
        operands.push_back(make_operand(ids[i], locations[i]));
        if (!ids[i].valid()) continue;
        Operand* operand = &operands.back();
        if (locations[i].kind != Location::Kind::kVariable &&
            locations[i].kind != Location::Kind::kArena) {
          bound.moving.push_back({operand, locations[i]});
        }
        if (const graph::VariableId id = graph_.value(ids[i]).variable;
            id.valid() && graph_.variable(id).kind == graph::VariableKind::kPacked) {
          bind_packed(packed_.emplace_back(operand, id));
        }
        const graph::SymShape& shape = graph_.type(ids[i]).shape;
        if (!shape.fixed()) bound.shapes.push_back({operand, &shape});
      }
    };
    target.starts = graph::goes_on(*node.op);
    for (const graph::ValueId input : node.inputs) {
      const int producer = input.valid() ? graph_.value(input).producer : -1;
      if (producer >= 0 && graph::goes_on(*graph_.node(producer).op)) {
        target.awaits.push_back(&graph_.node(producer));
      }
    }
    bind(node.inputs, step.inputs, target.inputs);
    bind(node.outputs, step.outputs, target.outputs);
    check_scratch(step, target);
  }
}

// A weight that is still to be packed has its source's type.
void Executor::bind_packed(const Packed& packed) const {
  Tensor& tensor = store_.at(graph_.variable(packed.variable).name);
  packed.operand->data = tensor.data();
  packed.operand->dtype = tensor.dtype();
  packed.operand->shape = tensor.shape();
}

void Executor::rebind_packed() {
  for (const Packed& packed : packed_) bind_packed(packed);
}

// Planned before there was memory; a kernel trusts it.
void Executor::check_scratch(const graph::Step& planned, const BoundStep& bound) const {
  const graph::Node& node = *bound.node;
  const int64_t wanted =
      node.op->scratch_bytes(bound.inputs, bound.outputs, table_, pool_.threads());
  ASHLAR_CHECK(wanted <= planned.scratch_bytes,
               "executor: op {} ({}) needs {} bytes of scratch memory, {} were planned", node.name,
               node.op->kind(), wanted, planned.scratch_bytes);
}

int Executor::input_index(const std::string& name) const {
  int index = 0;
  for (const auto& [input, id] : graph_.inputs()) {
    if (input == name) return index;
    ++index;
  }
  fail("executor: the graph has no input '{}'", name);
}

void Executor::bind_input(const std::string& name, const void* data) {
  bind_input(input_index(name), data);
}

void Executor::bind_input(int index, const void* data) {
  inputs_[static_cast<size_t>(index)] = data;
}

int Executor::program_index(const std::string& name) const {
  for (size_t i = 0; i < plan_.programs.size(); ++i) {
    if (plan_.programs[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

Executor::BoundProgram& Executor::prepare(int program, const Bindings& bindings, SlotPair slot) {
  BoundProgram& bound = programs_[static_cast<size_t>(program)];
  ASHLAR_CHECK(slot.backward >= 0 && slot.backward < plan_.slots, "executor: slot {} of {}",
               slot.backward, plan_.slots);
  ASHLAR_CHECK(slot.weight >= 0 && slot.weight < std::max(plan_.weight_slots, 1),
               "executor: slot {} of {} for weight gradients", slot.weight, plan_.weight_slots);
  if (!bound.bound || !(bound.bindings == bindings)) {
    for (int s = 1; s < graph::kSymbols; ++s) {
      const auto symbol = static_cast<Symbol>(s);
      ASHLAR_CHECK(bindings[symbol] <= plan_.max_bindings[symbol],
                   "executor: {} {} in this run, memory was planned for {}", bindings[symbol],
                   graph::name(symbol), plan_.max_bindings[symbol]);
    }
    for (const SymbolicShape& symbolic : bound.shapes) {
      symbolic.operand->shape = symbolic.shape->bind(bindings);
    }
    bound.bindings = bindings;
    bound.bound = true;
  }
  for (const Moving& moving : bound.moving) {
    moving.operand->data = place(moving.location, slot);
  }
  return bound;
}

void Executor::run_step(const BoundStep& step, const graph::RunState& state) {
  kernels::Team team =
      kernels::make_team(pool_, {step.scratch, static_cast<size_t>(step.scratch_bytes)});
  const graph::KernelCall call{table_, team, step.inputs, step.outputs, state, comm_};
  mark_work(step.node->name.c_str(), step.node->layer, state.step);
  if (!step.awaits.empty()) wait_for(step.awaits);
  if (!step.starts) {
    step.node->op->run(call);
    if (!started_.empty()) comm_->poll();
    return;
  }
  for (comm::Pending& pending : step.node->op->start(call)) {
    started_.push_back({step.node, std::move(pending)});
  }
}

double Executor::waited() const {
  return comm_ == nullptr ? 0 : comm_->counters().total().seconds_waited;
}

void Executor::record_step(const BoundStep& step, const graph::RunState& state) {
  const double start = profiler_->now(), waited = this->waited();
  run_step(step, state);
  if (step.starts && step.node->phase == graph::Phase::kReduce) {
    open_sums_.push_back({&step, start});
  } else {
    profiler_->record({step.node, step.node->op->cost(step.inputs, step.outputs), start,
                       profiler_->now(), this->waited() - waited});
  }
  record_sums();
}

void Executor::record_sums() {
  if (open_sums_.empty()) return;
  const double now = profiler_->now();
  std::erase_if(open_sums_, [&](const OpenSum& sum) {
    for (Started& started : started_) {
      if (started.node == sum.step->node && !started.pending.done()) return false;
    }
    profiler_->record({sum.step->node,
                       sum.step->node->op->cost(sum.step->inputs, sum.step->outputs), sum.start,
                       now});
    return true;
  });
}

void Executor::wait_for(const std::vector<const graph::Node*>& nodes) {
  std::erase_if(started_, [&](Started& started) {
    if (std::ranges::find(nodes, started.node) == nodes.end()) return false;
    started.pending.wait();
    return true;
  });
}

void Executor::wait_for_started() {
  for (Started& started : started_) started.pending.wait();
  started_.clear();
}

Executor::~Executor() { mark_work(nullptr, -1, 0); }  // the marks name ops of the graph

void Executor::run(int program, const Bindings& bindings, const graph::RunState& state,
                   SlotPair slot) {
  const auto run = profiler_ == nullptr ? &Executor::run_step : &Executor::record_step;
  for (const BoundStep& step : prepare(program, bindings, slot).steps) (this->*run)(step, state);
  wait_for_started();
}

void Executor::wait_for_all_but_sums() {
  std::erase_if(started_, [](Started& started) {
    if (started.node->phase == graph::Phase::kReduce) return false;
    started.pending.wait();
    return true;
  });
}

void Executor::run_with_sums(int program, int sums, const Bindings& bindings,
                             const graph::RunState& state, SlotPair slot) {
  run_leaving_sums(program, sums, bindings, state, slot);
  finish_sums(sums, bindings, state);
}

void Executor::run_leaving_sums(int program, int sums, const Bindings& bindings,
                                const graph::RunState& state, SlotPair slot) {
  const auto run = profiler_ == nullptr ? &Executor::run_step : &Executor::record_step;
  const std::vector<BoundStep>& leaving = prepare(sums, bindings, slot).steps;
  const std::vector<int>& points = sums_starts_[static_cast<size_t>(program)];
  int done = 0;
  sums_begun_ = 0;
  const auto start = [&] {
    for (; sums_begun_ < leaving.size(); ++sums_begun_) {
      const BoundStep& sum = leaving[sums_begun_];
      if (points[sums_begun_] > done || !sum.awaits.empty()) return;
      (this->*run)(sum, state);
    }
  };
  start();
  for (const BoundStep& step : prepare(program, bindings, slot).steps) {
    (this->*run)(step, state);
    ++done;
    start();
  }
  wait_for_all_but_sums();
}

void Executor::finish_sums(int sums, const Bindings& bindings, const graph::RunState& state) {
  const auto run = profiler_ == nullptr ? &Executor::run_step : &Executor::record_step;
  const std::vector<BoundStep>& steps = prepare(sums, bindings, {}).steps;
  for (; sums_begun_ < steps.size(); ++sums_begun_) (this->*run)(steps[sums_begun_], state);
  wait_for_started();
  if (profiler_ != nullptr) record_sums();
  sums_begun_ = 0;
}

void Executor::run_checked(int program, const Bindings& bindings, const graph::RunState& state,
                           SlotPair slot) {
  const BoundProgram& bound = prepare(program, bindings, slot);
  for (const BoundStep& step : bound.steps) {
    run_step(step, state);
    if (step.starts) wait_for_started();
    for (const Operand& output : step.outputs) {
      ASHLAR_CHECK(all_finite(output), "op {} ({}{}) gave a NaN or infinity at step {}",
                   step.node->name, step.node->op->kind(),
                   step.node->layer >= 0 ? fmt::format(", layer {}", step.node->layer) : "",
                   state.step);
    }
  }
  wait_for_started();
}

Operand Executor::output(const std::string& name, const Bindings& bindings, SlotPair slot) const {
  const graph::ValueId id = graph_.output(name);
  const Location& location = plan_.values[static_cast<size_t>(id.index)];
  Operand operand = make_operand(id, location);
  operand.shape = graph_.type(id).shape.bind(bindings);
  if (operand.data == nullptr) operand.data = place(location, slot);
  return operand;
}

}  // namespace ashlar::runtime
