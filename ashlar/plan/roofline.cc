#include "ashlar/plan/roofline.h"

#include "ashlar/base/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace ashlar::plan {
namespace {

using runtime::Profiler;

// "layers.3.mlp.up" -> "mlp.up"
std::string without_layer(const graph::Node& node) {
  const std::string prefix = fmt::format("layers.{}.", node.layer);
  return node.layer >= 0 && node.name.starts_with(prefix) ? node.name.substr(prefix.size())
                                                          : node.name;
}

// Matrices and key-value caches: what is larger than the caches of the processor.
bool reads_memory(const graph::Graph& graph, const graph::Node& node) {
  return std::ranges::any_of(node.inputs, [&](graph::ValueId input) {
    if (!input.valid() || !graph.value(input).variable.valid()) return false;
    const graph::Variable& variable = graph.variable(graph.value(input).variable);
    return variable.kind == graph::VariableKind::kPacked ||
           variable.kind == graph::VariableKind::kCache ||
           (variable.kind == graph::VariableKind::kParameter && variable.shape.rank() > 1);
  });
}

}  // namespace

std::vector<RooflineRow> roofline(const graph::Graph& graph,
                                  const std::vector<std::vector<Profiler::Record>>& steps,
                                  const RooflineRates& rates) {
  ASHLAR_CHECK(!steps.empty(), "roofline: no step was recorded");
  std::map<std::string, RooflineRow> rows;
  for (size_t i = 0; i < steps.front().size(); ++i) {
    const Profiler::Record& first = steps.front()[i];
    const graph::Node& node = *first.node;
    double seconds = first.end - first.start;
    for (const auto& step : steps) {
      ASHLAR_CHECK(step.size() == steps.front().size() && step[i].node == first.node,
                   "roofline: the steps do not run the same ops");
      seconds = std::min(seconds, step[i].end - step[i].start);
    }
    RooflineRow& row = rows[without_layer(node)];
    row.name = without_layer(node);
    row.kind = node.op->kind();
    ++row.count;
    row.seconds += seconds;
    row.flops += first.cost.flops;
    if (!reads_memory(graph, node)) continue;
    row.bytes += first.cost.bytes;
    row.limit +=
        std::max(first.cost.bytes / rates.bytes, first.cost.flops / rates.multiplications(node));
  }
  std::vector<RooflineRow> result;
  for (auto& [name, row] : rows) result.push_back(std::move(row));
  std::ranges::sort(result, std::ranges::greater(), &RooflineRow::seconds);
  return result;
}

std::string roofline_text(const std::vector<RooflineRow>& rows) {
  double total = 0;
  for (const RooflineRow& row : rows) total += row.seconds;
  std::string text = fmt::format("{:<24}{:<18}{:>6}{:>10}{:>8}{:>12}{:>10}{:>10}\n", "op", "kind",
                                 "times", "ms", "part", "GFLOP/s", "GB/s", "of limit");
  for (const RooflineRow& row : rows) {
    text +=
        fmt::format("{:<24}{:<18}{:>6}{:>10.3f}{:>7.1f}%{:>12.1f}", row.name, row.kind, row.count,
                    1e3 * row.seconds, 100 * row.seconds / total, row.flops / row.seconds / 1e9);
    text += row.limit > 0 ? fmt::format("{:>10.1f}{:>9.0f}%\n", row.bytes / row.seconds / 1e9,
                                        100 * row.limit / row.seconds)
                          : fmt::format("{:>10}{:>10}\n", "-", "-");
  }
  return text + fmt::format("{:<24}{:<18}{:>6}{:>10.3f}\n", "all", "", "", 1e3 * total);
}

}  // namespace ashlar::plan
