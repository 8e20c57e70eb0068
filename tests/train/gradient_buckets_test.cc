// Gradients leave in buckets while backward runs: seen in the log of what ran when, and in
// simulated time.
#include "ashlar/base/cpu.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/runtime/start_points.h"
#include "ashlar/sim/link.h"
#include "tests/train/layout_runner.h"
#include "tests/train/small_decoders.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace ashlar::train::testing {
namespace {

using graph::Node;
using graph::Phase;

struct Event {
  Phase phase;
  std::set<std::string> reads, writes;  // gradients
};

std::set<std::string> gradients(const graph::Graph& graph, const std::vector<graph::ValueId>& ids) {
  std::set<std::string> names;
  for (const graph::ValueId id : ids) {
    if (!id.valid() || !graph.value(id).variable.valid()) continue;
    const graph::Variable& variable = graph.variable(graph.value(id).variable);
    if (variable.kind == graph::VariableKind::kGradient) names.insert(variable.name);
  }
  return names;
}

// What the first rank's backward ran, microbatch by microbatch of one step, and the bytes it had
// sent behind each.
struct Backward {
  std::vector<std::vector<Event>> events;
  std::vector<int64_t> bytes;
};

Backward run_backward(const LayoutJob& job, const Layout& layout) {
  Backward result;
  comm::run_ranks(Mesh::standard(layout.mesh).size(), [&](comm::Communicator& comm) {
    const TrainingGraph training = build_training_graph(spec_of(job, layout, comm.rank()));
    const graph::Graph& graph = training.graph;
    runtime::VariableStore store(job.seed);
    store.add_missing(graph);
    graph::Bindings max = make_inputs(job, layout, comm.rank(), 1, 0).bindings;
    max[graph::Symbol::kSeqs] = 2 * job.batch;
    const auto runner = make_runner(Arithmetic::kKernels, graph, max, store, &comm);
    const SteadyClock clock;
    graph::RunState state{.seed = job.seed, .step = 1};
    for (int64_t m = 0; m < job.microbatches; ++m) {
      runner->set(make_inputs(job, layout, comm.rank(), 1, m), 1, 0);
      state.first_microbatch = m == 0;
      runner->run({Phase::kForward}, state);
      runtime::Profiler log(clock);
      runner->set_profiler(&log);
      std::vector<Phase> phases = {Phase::kInputGrad, Phase::kWeightGrad};
      if (m + 1 == job.microbatches) phases.push_back(Phase::kReduce);
      runner->run(phases, state);
      runner->set_profiler(nullptr);
      if (comm.rank() != 0) continue;
      std::vector<Event> events;
      // A sum is recorded when it ends; what counts here is when each op began.
      auto records = log.records();
      std::ranges::stable_sort(records, {}, &runtime::Profiler::Record::start);
      for (const auto& record : records) {
        const Node& node = *record.node;
        events.push_back(
            {node.phase, gradients(graph, node.inputs), gradients(graph, node.outputs)});
      }
      result.events.push_back(std::move(events));
      result.bytes.push_back(comm.counters().total().bytes);
    }
  });
  return result;
}

TEST(GradientBuckets, LeaveWhileBackwardRuns) {
  LayoutJob job{.model = small_llama()};
  job.microbatches = 2;
  for (const int zero : {0, 1}) {
    const Layout layout{.mesh = {.data = 2}, .zero = zero, .bucket_bytes = 12000};
    const Backward ran = run_backward(job, layout);
    EXPECT_EQ(ran.bytes[0], 0);  // the first microbatch sends nothing
    EXPECT_GT(ran.bytes[1], 0);
    const std::vector<Event>& events = ran.events[1];
    std::set<std::string> made, left;
    std::vector<size_t> starts;
    size_t last_work = 0;
    for (size_t i = 0; i < events.size(); ++i) {
      if (events[i].phase != Phase::kReduce) {
        last_work = i;
        made.insert(events[i].writes.begin(), events[i].writes.end());
        for (const std::string& name : events[i].writes) {
          EXPECT_FALSE(left.contains(name)) << name << " changes behind its sum";
        }
        continue;
      }
      starts.push_back(i);
      left.insert(events[i].reads.begin(), events[i].reads.end());
      if (i == 0) continue;
      // It waits for nothing but its own last gradient, which the step before it made, or the
      // bucket before; the loss's own were made in forward.
      const Event& before = events[i - 1];
      bool own = before.phase == Phase::kReduce;
      for (const std::string& name : before.writes) own = own || events[i].reads.contains(name);
      EXPECT_TRUE(own) << "bucket " << starts.size();
    }
    ASSERT_GE(starts.size(), 3u);
    EXPECT_LT(starts.front(), events.size() / 2);
    EXPECT_LT(starts[starts.size() - 2], last_work);
    // The last layers' come first.
    EXPECT_TRUE(events[starts.front()].reads.contains("head.weight.grad"));
    EXPECT_TRUE(events[starts.back()].reads.contains("embed.weight.grad"));
  }
}

// ZeRO-2: a bucket is at its owner, and its memory free, before the next one but one is begun.
TEST(GradientBuckets, ShardsOfTermsLeaveOneByOne) {
  LayoutJob job{.model = small_llama()};
  const Layout layout{.mesh = {.data = 2}, .zero = 2, .bucket_bytes = 12000};
  const TrainingGraph training = build_training_graph(spec_of(job, layout, 0));
  int under_way = 0, buckets = 0;
  for (const Node& node : training.graph.nodes()) {
    if (dynamic_cast<const graph::ReduceIntoOp*>(node.op.get()) != nullptr) {
      EXPECT_EQ(under_way++, 0);
      ++buckets;
      int64_t bytes = 0;
      for (size_t i = 0; i < node.outputs.size(); ++i) {
        bytes += training.graph.type(node.inputs[i]).shape.bind({}).elements() * 4;
      }
      EXPECT_TRUE(bytes <= layout.bucket_bytes / 2 || node.outputs.size() == 1) << bytes;
    }
    if (dynamic_cast<const graph::FreeTermsOp*>(node.op.get()) != nullptr) --under_way;
  }
  EXPECT_EQ(under_way, 0);
  EXPECT_GE(buckets, 4);
}

// Time that one step's sums take behind the end of backward, on a link and a processor of simulated
// speed: what starts when is what the executor does.
double exposed_s(const graph::Graph& graph, const graph::PlannedPrograms& plan, double flops_per_s,
                 const sim::LinkSpec& link) {
  const auto program = [&](const char* name) -> const graph::Program& {
    return *std::ranges::find(plan.programs, name, &graph::Program::name);
  };
  const graph::Program &backward = program("backward"), &sums = program("reduce");
  const std::vector<int> points = runtime::start_points(graph, backward, sums);
  const auto operands = [&](const std::vector<graph::ValueId>& ids) {
    std::vector<graph::Operand> result;
    for (const graph::ValueId id : ids) {
      graph::Operand operand;
      operand.present = id.valid();
      operand.shape = id.valid() ? graph.type(id).shape.bind(plan.max_bindings) : Shape{0};
      result.push_back(operand);
    }
    return result;
  };
  sim::Simulator simulator;
  sim::Link wire(simulator, link);
  double compute = 0, arrived = 0;
  size_t next = 0;
  const auto start = [&](size_t done) {
    for (; next < sums.steps.size() && points[next] <= static_cast<int>(done); ++next) {
      const Node& node = graph.node(sums.steps[next].node);
      const auto* sum = dynamic_cast<const graph::AllReduceOp*>(node.op.get());
      int64_t bytes = 0;
      for (const graph::Operand& gradient : operands(node.inputs)) {
        bytes += gradient.shape.elements() * 4;
      }
      const int p = sum->group().size();
      simulator.at(compute, [&, bytes, p] {
        wire.transfer(2 * (p - 1) * bytes / p, [&] { arrived = simulator.now(); });
      });
    }
  };
  start(0);
  for (size_t i = 0; i < backward.steps.size(); ++i) {
    const Node& node = graph.node(backward.steps[i].node);
    compute += node.op->cost(operands(node.inputs), operands(node.outputs)).flops / flops_per_s;
    start(i + 1);
  }
  simulator.run();
  return std::max(0.0, arrived - compute);
}

TEST(GradientBuckets, HideMoreTheMoreThereAre) {
  LayoutJob job{.model = small_llama()};
  job.model.resize({.vocab = 37,
                    .width = 24,
                    .layers = 16,
                    .heads = 4,
                    .max_positions = 32,
                    .kv_heads = 2,
                    .ffn = 20});
  const graph::Graph whole = models::build_training(job.model);
  int64_t parameters = 0;
  for (const graph::Variable& variable : whole.variables()) {
    if (variable.kind == graph::VariableKind::kParameter) parameters += variable.bytes();
  }
  const sim::LinkSpec link{.latency = 1e-5, .bandwidth = 1e9};
  double before = 0;
  for (const int64_t buckets : {1, 2, 4, 8}) {
    Layout layout{.mesh = {.data = 2}};
    // Room for one gradient more, so that there are no more buckets than that.
    layout.bucket_bytes = parameters / buckets + 4 * job.model.vocab * job.model.width;
    const TrainingGraph training = build_training_graph(spec_of(job, layout, 0));
    const graph::Bindings max = make_inputs(job, layout, 0, 1, 0).bindings;
    const auto plan = passes::plan_memory(
        training.graph, {.max = max, .table = &kernels::kernel_table(best_isa_tier())});
    const auto sums = std::ranges::find(plan.programs, "reduce", &graph::Program::name);
    ASSERT_EQ(std::ssize(sums->steps), buckets);
    const double exposed = exposed_s(training.graph, plan, 2e9, link);
    if (buckets == 1) {
      EXPECT_NEAR(exposed, link.transfer_time(parameters), 1e-9);  // nothing is hidden
    } else {
      EXPECT_LT(exposed, 0.8 * before) << buckets << " buckets";
    }
    before = exposed;
  }
}

}  // namespace
}  // namespace ashlar::train::testing
