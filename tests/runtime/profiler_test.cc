// The trace of a training step: valid JSON in the Trace Event format (the one Perfetto and
// chrome://tracing open), one bar for each op in the order they ran, with its FLOPs and bytes.
#include "ashlar/runtime/profiler.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/file.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/runtime/executor.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"
#include "tests/runtime/small_models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <set>

namespace ashlar::runtime {
namespace {

using Json = nlohmann::json;

// A millisecond passes between two looks at it.
class TickingClock : public Clock {
 public:
  double now() const override { return start_ + 1e-3 * looks_++; }

 private:
  double start_ = 1000;
  mutable int looks_ = 0;
};

class ProfilerTest : public ::testing::Test {
 protected:
  ProfilerTest() {
    const auto gradients = passes::differentiate(graph_, graph_.output("loss"));
    EXPECT_FALSE(gradients.empty());
    store_.add_missing(graph_);
    const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
    executor_.emplace(
        graph_,
        passes::plan_memory(graph_, {.max = batch_.bindings, .table = &table, .threads = 1}),
        store_, table, pool_);
    testing::bind_inputs(*executor_, batch_);
  }

  // Forward and backward, recorded.
  void run(Profiler& profiler) {
    executor_->set_profiler(&profiler);
    for (const int program : {0, 1}) executor_->run(program, batch_.bindings, {.step = 1});
  }

  const testing::SmallModelOptions model_;
  graph::Graph graph_ = testing::small_model(model_);
  const testing::SmallBatch batch_ = testing::small_batch(model_, {7, 5}, 21);
  ThreadPool pool_{1};
  VariableStore store_{5};
  std::optional<Executor> executor_;
  const testing::TempDir folder_;
  const TickingClock clock_;
};

TEST_F(ProfilerTest, OneBarForEachOp) {
  Profiler profiler(clock_);
  run(profiler);
  profiler.write_trace(folder_.path("trace.json"));
  const Json trace = Json::parse(read_file(folder_.path("trace.json")));
  EXPECT_EQ(trace["displayTimeUnit"], "ms");
  const Json& events = trace["traceEvents"];
  ASSERT_EQ(events.size(), graph_.nodes().size());
  double end = 0;
  std::set<std::string> phases;
  for (size_t i = 0; i < events.size(); ++i) {
    const Json& event = events[i];
    const graph::Node& node = *profiler.records()[i].node;
    EXPECT_EQ(event["name"], node.name);
    EXPECT_EQ(event["ph"], "X");  // a bar with a duration
    EXPECT_EQ(event["pid"], 0);
    EXPECT_EQ(event["tid"], 0);
    EXPECT_EQ(event["cat"], graph::name(node.phase));
    EXPECT_NEAR(event["dur"].get<double>(), 1000, 1e-3);  // microseconds
    EXPECT_GE(event["ts"].get<double>(), end) << "bars overlap";
    end = event["ts"].get<double>() + event["dur"].get<double>();

    const Json& about = event["args"];
    EXPECT_EQ(about["op"], node.op->kind());
    EXPECT_EQ(about["layer"], node.layer);
    EXPECT_GT(about["bytes"].get<double>(), 0) << node.name;
    EXPECT_GE(about["flops"].get<double>(), 0) << node.name;
    EXPECT_NEAR(about["gflops_per_s"].get<double>(), about["flops"].get<double>() / 1e6,
                1e-6 * about["flops"].get<double>());
    phases.insert(event["cat"].get<std::string>());
  }
  EXPECT_EQ(events[0]["ts"], 0);
  EXPECT_EQ(phases, (std::set<std::string>{"F", "B", "W"}));
}

TEST_F(ProfilerTest, ProductsCarryTheirFlops) {
  Profiler profiler(clock_);
  run(profiler);
  profiler.write_trace(folder_.path("trace.json"));
  const Json trace = Json::parse(read_file(folder_.path("trace.json")));
  int found = 0;
  for (const Json& event : trace["traceEvents"]) {
    if (event["name"] != "layers.0.up") continue;
    ++found;
    // 12 tokens; 2 FLOPs for each of width x ffn weights; input, weight and result in f32.
    EXPECT_EQ(event["args"]["flops"], 2.0 * 12 * 24 * 40);
    EXPECT_EQ(event["args"]["bytes"], 4.0 * (12 * 24 + 24 * 40 + 12 * 40));
  }
  EXPECT_EQ(found, 1);
}

TEST_F(ProfilerTest, ALongRunKeepsItsBeginning) {
  Profiler profiler(clock_, 3);
  run(profiler);
  EXPECT_EQ(profiler.records().size(), 3u);
  EXPECT_EQ(profiler.records()[0].node->name, graph_.nodes()[0].name);
}

TEST_F(ProfilerTest, AnUnwritablePathIsNamed) {
  const Profiler profiler(clock_);
  EXPECT_THAT(testing::error_of([&] { profiler.write_trace("/no/such/trace.json"); }),
              ::testing::HasSubstr("/no/such/trace.json"));
}

}  // namespace
}  // namespace ashlar::runtime
