#include "ashlar/plan/overlap.h"

#include "ashlar/graph/ops/collective.h"
#include "ashlar/runtime/start_points.h"

#include <algorithm>
#include <map>
#include <vector>

namespace ashlar::plan {
namespace {

graph::Program program_of(const graph::Graph& graph, std::span<const graph::Phase> phases) {
  graph::Program program;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    if (std::ranges::find(phases, graph.nodes()[i].phase) == phases.end()) continue;
    graph::Step step;
    step.node = static_cast<int32_t>(i);
    program.steps.push_back(std::move(step));
  }
  return program;
}

// A rank that computes, and one wire on which its messages pass meanwhile.
class Walk {
 public:
  Walk(const graph::Graph& graph, std::span<const PhaseCost> costs)
      : graph_(graph), costs_(costs) {}

  void run(int32_t index) {
    const graph::Node& node = graph_.node(index);
    const PhaseCost& cost = costs_[static_cast<size_t>(index)];
    for (const graph::ValueId input : node.inputs) {
      const auto arrives = arrives_.find(input.valid() ? graph_.value(input).producer : -1);
      if (arrives != arrives_.end()) now_ = std::max(now_, arrives->second);
    }
    now_ += cost.compute + cost.talk.own;
    if (!graph::goes_on(*node.op)) {
      now_ += cost.talk.wire;
      return;
    }
    wire_free_ = std::max(wire_free_, now_) + cost.talk.wire;
    arrives_[index] = wire_free_;
  }
  double end() const { return std::max(now_, wire_free_); }

 private:
  const graph::Graph& graph_;
  std::span<const PhaseCost> costs_;
  double now_ = 0, wire_free_ = 0;
  std::map<int32_t, double> arrives_;  // results of nodes that go on
};

}  // namespace

double overlapped_seconds(const graph::Graph& graph, std::span<const PhaseCost> costs,
                          std::span<const graph::Phase> phases, bool with_sums) {
  const graph::Program work = program_of(graph, phases);
  const graph::Phase reduce[] = {graph::Phase::kReduce};
  const graph::Program sums = with_sums ? program_of(graph, reduce) : graph::Program();
  const std::vector<int> points = runtime::start_points(graph, work, sums);
  Walk walk(graph, costs);
  size_t next = 0;
  for (size_t done = 0; done <= work.steps.size(); ++done) {
    for (; next < sums.steps.size() && points[next] <= static_cast<int>(done); ++next) {
      walk.run(sums.steps[next].node);
    }
    if (done < work.steps.size()) walk.run(work.steps[done].node);
  }
  return walk.end();
}

}  // namespace ashlar::plan
