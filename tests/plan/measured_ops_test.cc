#include "ashlar/plan/measured_ops.h"

#include "ashlar/base/cpu.h"
#include "ashlar/graph/builder.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/plan/graph_cost.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <set>
#include <string>

namespace ashlar::plan {
namespace {

using graph::Bindings;
using graph::Graph;
using graph::Symbol;

// Every look at it is a second later: each run takes one.
class CountingClock : public Clock {
 public:
  double now() const override { return static_cast<double>(looks_.fetch_add(1)); }
  int looks() const { return looks_; }

 private:
  mutable std::atomic<int> looks_{0};
};

Bindings bind(int64_t tokens, int64_t seqs) {
  Bindings bindings;
  bindings[Symbol::kTokens] = bindings[Symbol::kPart] = bindings[Symbol::kWhole] = tokens;
  bindings[Symbol::kSeqs] = seqs;
  return bindings;
}

// Products of a few layers, all alike.
Graph products(int64_t width, int layers) {
  Graph graph;
  graph::Builder b(graph, graph::Phase::kForward);
  graph::ValueId x = b.input("x", DType::kF32, {Symbol::kTokens, width});
  for (int layer = 0; layer < layers; ++layer) {
    const auto scope = b.layer_scope("layers." + std::to_string(layer), layer);
    x = linear(b, x, b.parameter("up.weight", {width, width}, {}, {}), {}, "up");
  }
  graph.mark_output("y", x);
  return graph;
}

Graph training(const char* family) {
  models::DecoderConfig config;
  config.family = family;
  config.resize({.vocab = 301, .width = 32, .layers = 3, .heads = 4, .max_positions = 64});
  config.rope.rotary_dim = config.head_dim;
  config.attention_dropout = config.residual_dropout = 0.1;
  if (config.family == "mixtral") config.mixture = {.experts = 4, .per_token = 2, .balance = true};
  Graph graph = models::build_training(config);
  passes::differentiate(graph, models::training_losses(graph));
  return graph;
}

// Equal ops are run once, however many there are.
TEST(MeasuredOps, RunsEachDistinctOpOnce) {
  const Graph graph = products(64, 5);
  const CountingClock clock;
  MeasuredOps timer(1, 1, kernels::kernel_table(best_isa_tier()), clock);
  const Bindings bindings = bind(32, 1);
  const StepAround step;
  double seconds = 0;
  for (const graph::Node& node : graph.nodes())
    seconds += *timer.seconds({graph, node, bindings, step});
  EXPECT_EQ(seconds, 5);
  EXPECT_EQ(timer.distinct_ops(), 1);
  EXPECT_EQ(clock.looks(), 2);  // one run, as it takes so long
}

// Ranks run at once, as many as there are cores for.
TEST(MeasuredOps, RunsOnAsManyRanksAsFit) {
  const CountingClock clock;
  const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
  const int cores = cpu_info().logical_cores;
  EXPECT_EQ(MeasuredOps(1, 1, table, clock).ranks_at_once(), 1);
  EXPECT_EQ(MeasuredOps(100, 1, table, clock).ranks_at_once(), cores);
  EXPECT_EQ(MeasuredOps(100, cores, table, clock).ranks_at_once(), 1);
  const Graph graph = products(64, 1);
  const Bindings bindings = bind(32, 1);
  MeasuredOps timer(4, 1, table, clock);
  EXPECT_GE(*timer.seconds({graph, graph.node(0), bindings, StepAround{}}), 1);
}

// An op that would take long runs on fewer tokens and counts for all.
TEST(MeasuredOps, LargeOpsRunOnFewerTokens) {
  const Graph graph = products(1024, 1);
  const CountingClock clock;
  MeasuredOps timer(1, 1, kernels::kernel_table(best_isa_tier()), clock);
  const Bindings bindings = bind(1 << 16, 8);  // 137 GFLOP
  EXPECT_EQ(*timer.seconds({graph, graph.node(0), bindings, StepAround{}}), 8);
}

TEST(MeasuredOps, WhatNoProbeShouldTakeIsNotRun) {
  Graph graph;
  graph::Builder b(graph, graph::Phase::kForward);
  const graph::ValueId x = b.input("x", DType::kF32, {Symbol::kTokens, 1 << 15});
  linear(b, x, b.parameter("w", {1 << 15, 1 << 15}, {}, {}), {}, "y");  // a weight of 4 GiB
  const CountingClock clock;
  MeasuredOps timer(1, 1, kernels::kernel_table(best_isa_tier()), clock);
  EXPECT_FALSE(timer.seconds({graph, graph.node(0), bind(8, 1), StepAround{}}).has_value());
  EXPECT_EQ(clock.looks(), 0);
}

// Every op of a training graph can be run, but for those that look up rows by what the router said.
TEST(MeasuredOps, TimesAllThatTrainingRuns) {
  const SteadyClock clock;
  for (const char* family : {"llama", "gpt2", "mixtral"}) {
    const Graph graph = training(family);
    MeasuredOps timer(2, 1, kernels::kernel_table(best_isa_tier()), clock);
    const Bindings bindings = bind(128, 2);
    std::set<std::string> not_run;
    for (const graph::Node& node : graph.nodes()) {
      const auto seconds = timer.seconds({graph, node, bindings, {.bytes = 1 << 20, .vocab = 301}});
      if (!seconds) not_run.insert(std::string(node.op->kind()));
      EXPECT_GT(seconds.value_or(1), 0) << node.name;
    }
    for (const std::string& kind : not_run) EXPECT_TRUE(kind.starts_with("moe_")) << kind;
    EXPECT_EQ(not_run.empty(), std::string(family) != "mixtral");
    EXPECT_LT(timer.distinct_ops(), std::ssize(graph.nodes()) / 2);
  }
}

}  // namespace
}  // namespace ashlar::plan
