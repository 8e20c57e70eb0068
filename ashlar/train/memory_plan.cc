#include "ashlar/train/memory_plan.h"

#include "ashlar/base/error.h"
#include "ashlar/base/human.h"
#include "ashlar/runtime/stored_variables.h"
#include "ashlar/sim/tagged_arena.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace ashlar::train {

using graph::VariableKind;

void MemoryPlan::add_variables(const graph::Graph& graph, const runtime::VariableStore& store) {
  std::map<std::string, int64_t> bytes;
  for (const auto& [name, tensor] : store.tensors()) {
    bytes[name] = static_cast<int64_t>(tensor.bytes());
  }
  add_by_kind(graph, bytes);
}

void MemoryPlan::plan_variables(const graph::Graph& graph,
                                const std::vector<const graph::Graph*>& others) {
  std::map<std::string, int64_t> bytes;
  const auto add_those_of = [&](const graph::Graph& one) {
    for (const graph::VariableId id : runtime::stored_variables(one)) {
      bytes.try_emplace(one.variable(id).name, one.variable(id).bytes());
    }
  };
  add_those_of(graph);
  for (const graph::Graph* other : others) add_those_of(*other);
  add_by_kind(graph, bytes);
}

void MemoryPlan::add_by_kind(const graph::Graph& graph,
                             const std::map<std::string, int64_t>& bytes) {
  std::map<VariableKind, int64_t> sums;
  for (const auto& [name, size] : bytes) {
    const auto id = graph.find_variable(name);
    sums[id ? graph.variable(*id).kind : VariableKind::kConstant] += size;
  }
  for (const auto& [kind, sum] : sums) add(std::string(graph::name(kind)) + "s", sum);
}

int64_t MemoryPlan::bytes(std::string_view part) const {
  const auto found = std::ranges::find(parts_, part, &std::pair<std::string, int64_t>::first);
  return found == parts_.end() ? 0 : found->second;
}

void MemoryPlan::add(const std::string& part, int64_t bytes) {
  if (bytes == 0) return;
  const auto there = std::ranges::find(parts_, part, &std::pair<std::string, int64_t>::first);
  if (there == parts_.end()) {
    parts_.emplace_back(part, bytes);
  } else {
    there->second += bytes;
  }
}

int64_t MemoryPlan::total() const {
  return std::accumulate(parts_.begin(), parts_.end(), int64_t{0},
                         [](int64_t sum, const auto& part) { return sum + part.second; });
}

void MemoryPlan::check(int64_t cap, std::string_view who) const {
  if (cap == 0) return;
  sim::TaggedArena device(std::string(who), cap);
  std::vector<sim::TaggedArena::Allocation> held;
  try {
    for (const auto& [part, bytes] : parts_) held.push_back(device.allocate(part, bytes));
  } catch (const Error& error) {
    fail_usage(
        "config run.memory: {}; {} in all. Lower train.microbatch, set recompute=full or "
        "parallel.zero, or take more ranks",
        error.what(), human_bytes(static_cast<double>(total())));
  }
}

std::string MemoryPlan::text() const {
  std::string text;
  for (const auto& [part, bytes] : parts_) {
    text += fmt::format("{}{}=\"{}\"", text.empty() ? "" : " ", part,
                        human_bytes(static_cast<double>(bytes)));
  }
  return text;
}

}  // namespace ashlar::train
