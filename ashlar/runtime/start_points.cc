#include "ashlar/runtime/start_points.h"

#include <algorithm>
#include <map>

namespace ashlar::runtime {

std::vector<int> start_points(const graph::Graph& graph, const graph::Program& program,
                              const graph::Program& sums) {
  std::map<int32_t, int> behind;  // a node, and how many steps there are up to it
  for (const graph::Step& step : program.steps) {
    behind.emplace(step.node, static_cast<int>(behind.size()) + 1);
  }
  const int all = static_cast<int>(program.steps.size());
  std::vector<int> points;
  int last = 0;
  for (const graph::Step& step : sums.steps) {
    for (const graph::ValueId input : graph.node(step.node).inputs) {
      const int32_t maker = input.valid() ? graph.value(input).producer : -1;
      if (maker < 0) continue;
      const auto found = behind.find(maker);
      const bool is_sum = graph.node(maker).phase == graph::Phase::kReduce;
      last = std::max(last, is_sum ? all : found == behind.end() ? 0 : found->second);
    }
    points.push_back(last);
  }
  return points;
}

}  // namespace ashlar::runtime
