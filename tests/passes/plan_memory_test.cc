// Memory plans: no two live values overlap but where an op may work in place, and scratch lies
// apart from both. That runs touch what is planned, and no more, is tested with the executor.
#include "ashlar/passes/plan_memory.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/philox.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/interval_packing.h"
#include "tests/runtime/small_models.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::passes {
namespace {

TEST(IntervalPackingTest, LiveIntervalsNeverOverlap) {
  const RandomStream random(1, "intervals");
  for (uint64_t round = 0; round < 50; ++round) {
    std::vector<Interval> intervals;
    for (uint64_t i = 0; i < 60; ++i) {
      const int first = static_cast<int>(random.below(round * 1000 + 3 * i, 40));
      const int length = static_cast<int>(random.below(round * 1000 + 3 * i + 1, 10));
      const auto bytes = static_cast<int64_t>(random.below(round * 1000 + 3 * i + 2, 5000));
      intervals.push_back({bytes, first, first + length});
    }
    const int64_t total = pack_intervals(intervals);
    int64_t most_alive = 0;
    for (int t = 0; t < 50; ++t) {
      int64_t alive = 0;
      for (const Interval& i : intervals) alive += i.first <= t && t <= i.last ? i.bytes : 0;
      most_alive = std::max(most_alive, alive);
    }
    EXPECT_GE(total, most_alive);
    EXPECT_LE(total, 2 * most_alive + 64 * 60);
    for (size_t a = 0; a < intervals.size(); ++a) {
      EXPECT_EQ(intervals[a].offset % 64, 0);
      EXPECT_LE(intervals[a].offset + intervals[a].bytes, total);
      for (size_t b = 0; b < a; ++b) {
        const Interval &x = intervals[a], &y = intervals[b];
        const bool together = x.first <= y.last && y.first <= x.last;
        const bool overlap = x.offset < y.offset + y.bytes && y.offset < x.offset + x.bytes;
        EXPECT_FALSE(together && overlap && x.bytes > 0 && y.bytes > 0);
      }
    }
  }
}

TEST(IntervalPackingTest, ReusesSpaceOfTheDead) {
  std::vector<Interval> intervals = {{100, 0, 1}, {100, 2, 3}, {100, 4, 5}};
  EXPECT_EQ(pack_intervals(intervals), 128);
}

using graph::Location;

struct Live {
  graph::ValueId value;
  int64_t begin, end;  // bytes of the region
  int last_read;       // step, over all Programs
};

// Follows a plan step by step and says where two things that are alive share bytes.
class PlanChecker {
 public:
  // Results stay to the end, or to that of their Program where others share the arena.
  PlanChecker(const graph::Graph& graph, const graph::PlannedPrograms& plan, bool shares_arena)
      : graph_(graph), plan_(plan), last_read_(graph.values().size(), -1) {
    std::vector<int> program_end(graph.nodes().size());
    for (const graph::Program& program : plan.programs) {
      const int end = steps_ + static_cast<int>(program.steps.size());
      for (const graph::Step& step : program.steps) {
        for (const graph::ValueId input : graph.node(step.node).inputs) {
          if (input.valid()) last_read_[index(input)] = steps_;
        }
        program_end[static_cast<size_t>(step.node)] = end - 1;
        ++steps_;
      }
    }
    for (const auto& [name, id] : graph.outputs()) {
      const int maker = graph.value(id).producer;
      const int end = shares_arena ? program_end[static_cast<size_t>(maker)] : steps_;
      last_read_[index(id)] = std::max(last_read_[index(id)], end);
    }
  }

  int reused = 0;  // outputs that took an input's place

  void run() {
    int now = 0;
    for (const graph::Program& program : plan_.programs) {
      for (const graph::Step& step : program.steps) {
        check(step, now);
        ++now;
      }
    }
  }

 private:
  static size_t index(graph::ValueId id) { return static_cast<size_t>(id.index); }

  void check(const graph::Step& step, int now) {
    const graph::Node& node = graph_.node(step.node);
    std::vector<Live> outputs;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const auto kind = step.outputs[i].kind;
      if (kind == Location::Kind::kVariable) continue;
      Live output = place(node.outputs[i], step.outputs[i]);
      for (const Live& other : outputs) EXPECT_FALSE(overlap(output, other)) << node.name;
      for (const Live& other : live_) {
        if (!overlap(output, other)) continue;
        EXPECT_TRUE(may_replace(node, i, other, now))
            << node.name << " writes over " << graph_.value(other.value).name;
        ++reused;
      }
      outputs.push_back(output);
    }
    // Values live during the step; an input that dies here is still read while scratch is written.
    if (step.scratch_bytes > 0) {
      const Live scratch{{}, step.scratch_offset, step.scratch_offset + step.scratch_bytes, now};
      EXPECT_LE(scratch.end, plan_.arena_bytes) << node.name;
      for (const auto* values : {&live_, &outputs}) {
        for (const Live& other : *values) {
          EXPECT_FALSE(overlap(scratch, other)) << "scratch of " << node.name;
        }
      }
    }
    live_.insert(live_.end(), outputs.begin(), outputs.end());
    std::erase_if(live_, [now](const Live& value) { return value.last_read <= now; });
  }

  // Where the value lies; slots come after the arena (their number 0 stands for all), those for W
  // after the others.
  Live place(graph::ValueId id, const Location& location) const {
    const graph::ValueType& type = graph_.type(id);
    const int64_t bytes = type.shape.bind(plan_.max_bindings).elements() * size_of(type.dtype);
    const bool in_slot = location.kind == Location::Kind::kSlot;
    const bool for_weight = location.kind == Location::Kind::kWeightSlot;
    EXPECT_LE(location.offset + bytes, in_slot      ? plan_.slot_bytes
                                       : for_weight ? plan_.weight_slot_bytes
                                                    : plan_.arena_bytes);
    const int64_t begin = location.offset + (in_slot || for_weight ? plan_.arena_bytes : 0) +
                          (for_weight ? plan_.slot_bytes : 0);
    return {id, begin, begin + bytes, last_read_[index(id)]};
  }

  static bool overlap(const Live& a, const Live& b) { return a.begin < b.end && b.begin < a.end; }

  // An input that nothing reads later, in whose exact place the op says it can work.
  bool may_replace(const graph::Node& node, size_t output, const Live& old, int now) const {
    if (old.last_read != now) return false;
    for (const graph::Alias& alias : node.op->aliases()) {
      if (alias.output == static_cast<int>(output) &&
          node.inputs[static_cast<size_t>(alias.input)] == old.value) {
        return std::ranges::count(node.inputs, old.value) == 1;
      }
    }
    return false;
  }

  const graph::Graph& graph_;
  const graph::PlannedPrograms& plan_;
  std::vector<int> last_read_;
  int steps_ = 0;
  std::vector<Live> live_;
};

TEST(PlanMemory, NothingAliveIsWrittenOver) {
  for (const bool gpt2 : {false, true}) {
    for (const bool fused : {false, true}) {
      for (const auto& [slots, weight_slots] : {std::pair{1, 0}, {3, 0}, {1, 1}, {2, 3}}) {
        graph::Graph graph = testing::small_model({.layer_norm = gpt2, .kv_heads = 3});
        differentiate(graph, graph.output("loss"));
        if (fused) graph = fuse(graph);
        graph::Bindings max;
        max[graph::Symbol::kTokens] = 40;
        max[graph::Symbol::kSeqs] = 3;
        const auto plan = plan_memory(graph, {.max = max,
                                              .slots = slots,
                                              .weight_slots = weight_slots,
                                              .shares_arena = weight_slots > 1,
                                              .table = &kernels::kernel_table(best_isa_tier()),
                                              .threads = 2});
        PlanChecker checker(graph, plan, weight_slots > 1);
        checker.run();
        EXPECT_GT(checker.reused, 0);
      }
    }
  }
}

}  // namespace
}  // namespace ashlar::passes
