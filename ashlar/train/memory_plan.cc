#include "ashlar/train/memory_plan.h"

#include "ashlar/base/human.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace ashlar::train {

using graph::VariableKind;

void MemoryPlan::add_variables(const graph::Graph& graph, const runtime::VariableStore& store) {
  std::map<VariableKind, int64_t> bytes;
  for (const auto& [name, tensor] : store.tensors()) {
    const auto id = graph.find_variable(name);
    bytes[id ? graph.variable(*id).kind : VariableKind::kConstant] +=
        static_cast<int64_t>(tensor.bytes());
  }
  for (const auto& [kind, sum] : bytes) add(std::string(graph::name(kind)) + "s", sum);
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

std::string MemoryPlan::text() const {
  std::string text;
  for (const auto& [part, bytes] : parts_) {
    text += fmt::format("{}{}=\"{}\"", text.empty() ? "" : " ", part,
                        human_bytes(static_cast<double>(bytes)));
  }
  return text;
}

}  // namespace ashlar::train
