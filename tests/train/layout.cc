#include "tests/train/layout.h"

#include "ashlar/comm/thread_ranks.h"
#include "ashlar/train/shadows.h"
#include "tests/train/layout_runner.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <mutex>

namespace ashlar::train::testing {
namespace {

using graph::Phase;
using graph::RunState;
using graph::Symbol;
using graph::Variable;
using graph::VariableKind;

class LayoutRank {
 public:
  LayoutRank(const LayoutJob& job, const Layout& layout, Arithmetic arithmetic, int rank,
             comm::Communicator* comm)
      : job_(job),
        layout_(layout),
        mesh_(Mesh::standard(layout.mesh)),
        rank_(rank),
        comm_(comm),
        training_(build_training_graph(spec_of(job, layout, rank))),
        store_(job.seed),
        device_(fmt::format("rank {}", rank), job.device_bytes) {
    for (const Variable& variable : training_.graph.variables()) {
      held_.push_back(device_.allocate(name(variable.kind), variable.bytes()));
    }
    store_.add_missing(training_.graph);
    make_shadows(training_.graph, spec_of(job, layout, rank).shard, store_, comm);
    graph::Bindings max = make_inputs(job, layout, rank, 1, 0).bindings;
    max[Symbol::kSeqs] = std::max<int64_t>(max[Symbol::kSeqs], 2 * job.batch);
    runner_ = make_runner(arithmetic, training_.graph, max, store_, comm);
    if (const graph::PlannedPrograms* plan = runner_->plan()) {
      held_.push_back(device_.allocate("activations", plan->total_bytes()));
    }
  }

  void step(int64_t step, std::vector<double>& losses, std::vector<double>& aux_losses,
            std::vector<double>& norms) {
    const auto scale = 1.0f / static_cast<float>(valid_tokens(job_, step));
    RunState state{.seed = job_.seed, .step = static_cast<uint64_t>(step)};
    double loss = 0, aux_loss = 0;
    for (int64_t m = 0; m < job_.microbatches; ++m) {
      const LayoutInputs inputs = make_inputs(job_, layout_, rank_, step, m);
      runner_->set(inputs, scale, static_cast<float>(job_.lr));
      state.first_microbatch = m == 0;
      state.first_token = inputs.first_token;
      state.tokens = inputs.bindings[Symbol::kTokens];
      runner_->run({Phase::kForward}, state);
      loss += runner_->output("loss");
      if (training_.graph.outputs().contains("aux_loss")) aux_loss += runner_->output("aux_loss");
      std::vector<Phase> backward = {Phase::kInputGrad, Phase::kWeightGrad};
      if (m + 1 == job_.microbatches) backward.push_back(Phase::kReduce);
      runner_->run(backward, state);
    }
    runner_->run({Phase::kUpdate}, state);
    losses.push_back(whole_loss(loss));
    aux_losses.push_back(aux_loss);  // each rank knows the whole
    norms.push_back(runner_->output("grad_norm"));
  }

  void collect(LayoutResult& result) {
    result.device_bytes[static_cast<size_t>(rank_)] = device_.total().peak;
    if (const graph::PlannedPrograms* plan = runner_->plan()) {
      result.arena_bytes[static_cast<size_t>(rank_)] = plan->total_bytes();
      result.stand_ins[static_cast<size_t>(rank_)] = plan->stand_ins;
    }
    for (const Variable& variable : training_.graph.variables()) {
      if (!store_.contains(variable.name)) continue;
      result.bytes[static_cast<size_t>(rank_)][variable.kind] += variable.bytes();
      const bool learnt = variable.kind == VariableKind::kParameter;
      if (!learnt && !variable.name.ends_with(".v")) continue;
      auto& values = (learnt ? result.parameters : result.squares)[variable.name];
      place(variable, runner_->variable(variable.name), values);
    }
  }

 private:
  // Ranks that see other tokens have a share of it each.
  double whole_loss(double loss) {
    if (comm_ == nullptr) return loss;
    const comm::Group all = comm::group_along(mesh_, rank_, {"data", "context", "expert"});
    if (all.size() > 1) {
      comm::Group shares = all;
      shares.name = "loss";  // not part of the method's traffic
      comm_->all_reduce(shares, comm::Reduce::kSum, comm::buffer(std::span(&loss, 1)), "loss");
    }
    return loss;
  }

  const LayoutJob& job_;
  const Layout& layout_;
  Mesh mesh_;
  int rank_;
  comm::Communicator* comm_;
  TrainingGraph training_;
  runtime::VariableStore store_;
  std::unique_ptr<LayoutRunner> runner_;
  sim::TaggedArena device_;
  std::vector<sim::TaggedArena::Allocation> held_;
};

}  // namespace

void place(const Variable& variable, const std::vector<double>& part, std::vector<double>& whole) {
  const Shape shape = variable.part.empty() ? variable.shape : variable.whole;
  whole.resize(static_cast<size_t>(shape.elements()));
  for (size_t i = 0; i < part.size(); ++i) {
    size_t index = 0, rest = i, stride = 1;
    for (int dim = shape.rank(); dim-- > 0;) {
      const auto length = static_cast<size_t>(variable.shape[dim]);
      const int64_t offset =
          variable.part.empty() ? 0 : variable.part[static_cast<size_t>(dim)].offset;
      index += (rest % length + static_cast<size_t>(offset)) * stride;
      rest /= length;
      stride *= static_cast<size_t>(shape[dim]);
    }
    whole[index] = part[i];
  }
}

LayoutResult run_layout(const LayoutJob& job, const Layout& layout, Arithmetic arithmetic) {
  const int ranks = Mesh::standard(layout.mesh).size();
  LayoutResult result;
  result.bytes.resize(static_cast<size_t>(ranks));
  result.traffic.resize(static_cast<size_t>(ranks));
  result.arena_bytes.resize(static_cast<size_t>(ranks));
  result.device_bytes.resize(static_cast<size_t>(ranks));
  result.stand_ins.resize(static_cast<size_t>(ranks));
  std::mutex mutex;
  comm::run_ranks(ranks, [&](comm::Communicator& comm) {
    LayoutRank rank(job, layout, arithmetic, comm.rank(), ranks > 1 ? &comm : nullptr);
    std::vector<double> losses, aux_losses, norms;
    for (int64_t step = 1; step <= job.steps; ++step) rank.step(step, losses, aux_losses, norms);
    const std::lock_guard lock(mutex);
    rank.collect(result);
    result.traffic[static_cast<size_t>(comm.rank())] = comm.counters();
    if (!result.losses.empty()) {  // every rank knows the same
      EXPECT_EQ(losses, result.losses) << layout.str();
      EXPECT_EQ(aux_losses, result.aux_losses) << layout.str();
      EXPECT_EQ(norms, result.norms) << layout.str();
    }
    result.losses = losses;
    result.aux_losses = aux_losses;
    result.norms = norms;
  });
  return result;
}

void expect_equal(const LayoutResult& found, const LayoutResult& wanted, const Tolerance& tolerance,
                  const std::string& what) {
  ASSERT_EQ(found.losses.size(), wanted.losses.size());
  for (size_t i = 0; i < wanted.losses.size(); ++i) {
    ASSERT_NEAR(found.losses[i], wanted.losses[i], tolerance.loss * std::abs(wanted.losses[i]))
        << what << ": loss of step " << i + 1;
    ASSERT_NEAR(found.aux_losses[i], wanted.aux_losses[i], tolerance.loss * wanted.aux_losses[i])
        << what << ": balance of step " << i + 1;
    ASSERT_NEAR(found.norms[i], wanted.norms[i], tolerance.loss * wanted.norms[i])
        << what << ": gradient norm of step " << i + 1;
  }
  ASSERT_EQ(found.parameters.size(), wanted.parameters.size());
  for (const auto& [name, values] : wanted.parameters) {
    const std::vector<double>& now = found.parameters.at(name);
    ASSERT_EQ(now.size(), values.size()) << name;
    // Of what Muon updates there are none.
    const auto moments = wanted.squares.find(name + ".v");
    double norm = 0, difference = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      // What is mathematically 0, such as the gradient of a key's bias, is noise that Adam
      // amplifies.
      if (moments != wanted.squares.end() && std::sqrt(moments->second[i]) < tolerance.gradient) {
        continue;
      }
      norm += values[i] * values[i];
      difference += (now[i] - values[i]) * (now[i] - values[i]);
    }
    EXPECT_LE(std::sqrt(difference), tolerance.parameter * std::sqrt(norm)) << what << ": " << name;
  }
}

}  // namespace ashlar::train::testing
