#include "tests/train/pipe_layout.h"

#include "ashlar/base/clock.h"
#include "ashlar/base/cpu.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/runtime/stored_variables.h"
#include "ashlar/sim/tagged_arena.h"
#include "ashlar/train/pipeline_graphs.h"
#include "ashlar/train/pipeline_schedule.h"
#include "ashlar/train/shadows.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>

namespace ashlar::train::testing {
namespace {

using graph::Variable;
using graph::VariableKind;

schedule::Schedule schedule_of(const LayoutJob& job, const PipeLayout& layout) {
  TrainConfig config;
  config.train.batch = job.microbatches;
  config.train.microbatch = 1;
  config.mesh.pipe = layout.layout.mesh.pipe;
  config.parallel.schedule = layout.schedule;
  config.parallel.chunks = layout.chunks;
  return pipeline_schedule(config);
}

using Parameters = std::map<std::string, std::vector<double>>;

class PipeRank {
 public:
  PipeRank(const LayoutJob& job, const PipeLayout& layout, Arithmetic arithmetic,
           comm::Communicator& comm)
      : job_(job),
        layout_(layout),
        mesh_(Mesh::standard(layout.layout.mesh)),
        comm_(comm),
        device_(fmt::format("rank {}", comm.rank()), job.device_bytes),
        spec_(spec_of(job, layout.layout, comm.rank())) {
    spec_.schedule = schedule_of(job, layout);
    chunks_ = build_chunks(spec_);
    pipe_ = comm::group_along(mesh_, comm.rank(), {"pipe"});
    max_ = largest_microbatch(spec_);
    for (const graph::Stage& chunk : chunks_) {
      for (const graph::VariableId id : runtime::stored_variables(chunk.graph)) {
        const Variable& variable = chunk.graph.variable(id);
        held_.push_back(device_.allocate(name(variable.kind), variable.bytes()));
      }
    }
    arithmetic == Arithmetic::kDouble ? run_in_double() : run_kernels();
  }

  void step(int64_t step, LayoutResult& result) {
    const float scale = 1.0f / static_cast<float>(valid_tokens(job_, step));
    const auto lr = static_cast<float>(job_.lr);
    pipeline_->bind_input("loss_scale", &scale);
    const float aux_scale = 1.0f / static_cast<float>(job_.microbatches);
    pipeline_->bind_input("lr", &lr);
    pipeline_->bind_input("aux_scale", &aux_scale);
    std::vector<LayoutInputs> inputs;
    std::vector<runtime::PipelineMicrobatch> microbatches;
    for (int64_t m = 0; m < job_.microbatches; ++m) {
      inputs.push_back(make_inputs(job_, layout_.layout, comm_.rank(), step, m));
    }
    for (const LayoutInputs& in : inputs) {
      microbatches.push_back({in.bindings,
                              in.first_token,
                              in.bindings[graph::Symbol::kTokens],
                              {{"tokens", in.tokens.data()},
                               {"positions", in.positions.data()},
                               {"row_start", in.row_start.data()},
                               {"token_types", in.token_types.data()},
                               {"targets", in.targets.data()}}});
    }
    const graph::RunState state{.seed = job_.seed, .step = static_cast<uint64_t>(step)};
    runtime::PipelineTotals totals;
    if (layout_.optimistic) {
      pipeline_->step_optimistically(microbatches, state);
      totals = pipeline_->settle();
    } else {
      totals = pipeline_->run(microbatches, state);
      pipeline_->update(state);
    }
    result.losses.push_back(whole_loss(totals.loss));
    result.aux_losses.push_back(totals.aux_loss);
    result.norms.push_back(totals.grad_norm());
  }

  // Records what the kernels do from now on.
  void profile() {
    if (!executors_) return;
    profiler_.emplace(clock_);
    for (size_t c = 0; c < chunks_.size(); ++c) {
      executors_->executor(static_cast<int>(c)).set_profiler(&*profiler_);
    }
  }
  void count_buckets(int& all, int& early) const {
    if (!profiler_) return;
    for (const graph::Stage& chunk : chunks_) {
      const auto& nodes = chunk.graph.nodes();
      double end = 0;  // of backward
      for (const bool sums : {false, true}) {
        for (const auto& record : profiler_->records()) {
          if (record.node < nodes.data() || record.node >= nodes.data() + nodes.size()) continue;
          const graph::Phase phase = record.node->phase;
          if (sums && phase == graph::Phase::kReduce) {
            ++all;
            early += record.start < end ? 1 : 0;
          } else if (!sums && phase < graph::Phase::kReduce) {
            end = std::max(end, record.end);
          }
        }
      }
    }
  }

  // What the kernels' run takes of the rank's device.
  int64_t activation_bytes() const { return device_.usage("activations").peak; }
  int64_t device_bytes() const { return device_.total().peak; }

  // Calls f(variable, values, whether it is the owner's) for parameters and moments.
  template <typename F>
  void visit(const F& f) {
    const auto places = spec_.schedule->stages.chunks(pipe_.index);
    for (size_t c = 0; c < chunks_.size(); ++c) {
      for (const Variable& variable : chunks_[c].graph.variables()) {
        if (!stores_[c]->contains(variable.name)) continue;
        const comm::Buffer buffer = runners_[c]->variable(variable.name);
        std::vector<double> values(static_cast<size_t>(buffer.elements));
        convert(buffer.dtype, static_cast<const std::byte*>(buffer.data), DType::kF64,
                values.data(), buffer.elements);
        f(variable, values, places[c].replica == 0 && chunks_[c].owns(variable.name));
      }
    }
  }

 private:
  void make_stores() {
    for (size_t c = 0; c < chunks_.size(); ++c) {
      stores_.push_back(std::make_unique<runtime::VariableStore>(job_.seed));
    }
  }

  void run_in_double() {
    make_stores();
    std::vector<runtime::PipelineChunk> parts;
    for (size_t c = 0; c < chunks_.size(); ++c) {
      stores_[c]->add_missing(chunks_[c].graph);
      make_shadows(chunks_[c].graph, spec_.shard, *stores_[c], &comm_);
      references_.push_back(
          std::make_unique<runtime::StageReference>(chunks_[c].graph, *stores_[c], &comm_));
      runners_.push_back(references_.back().get());
      parts.push_back({&chunks_[c], runners_.back()});
    }
    start(std::move(parts), {});
  }

  void run_kernels() {
    make_stores();
    std::vector<runtime::VariableStore*> stores;
    for (const auto& store : stores_) stores.push_back(store.get());
    const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
    auto planned = plan_chunks(chunks_, stores, *spec_.schedule, pipe_.index, max_, table, 1);
    for (size_t c = 0; c < chunks_.size(); ++c) {
      make_shadows(chunks_[c].graph, spec_.shard, *stores_[c], &comm_);
    }
    executors_.emplace(*spec_.schedule, pipe_.index, std::move(planned), table, pool_, comm_);
    for (size_t c = 0; c < chunks_.size(); ++c) {
      runners_.push_back(&executors_->runner(static_cast<int>(c)));
    }
    held_.push_back(device_.allocate("activations", executors_->bytes()));
    start(parts_of(chunks_, *executors_), executors_->slots().instructions);
    held_.push_back(device_.allocate("messages", pipeline_->message_bytes()));
  }

  void start(std::vector<runtime::PipelineChunk> parts,
             std::vector<schedule::InstructionSlots> slots) {
    pipeline_.emplace(*spec_.schedule, pipe_, std::move(parts), std::move(slots), max_, comm_,
                      comm::group_along(mesh_, comm_.rank(), {"tensor"}));
  }

  // Ranks that see other tokens have a share of it each.
  double whole_loss(double loss) {
    comm::Group shares = comm::group_along(mesh_, comm_.rank(), {"data", "context", "expert"});
    if (shares.size() == 1) return loss;
    shares.name = "loss";  // not part of the method's traffic
    comm_.all_reduce(shares, comm::Reduce::kSum, comm::buffer(std::span(&loss, 1)), "loss");
    return loss;
  }

  const LayoutJob& job_;
  const PipeLayout& layout_;
  Mesh mesh_;
  comm::Communicator& comm_;
  sim::TaggedArena device_;
  std::vector<sim::TaggedArena::Allocation> held_;
  StepSpec spec_;
  ThreadPool pool_{1};
  comm::Group pipe_;
  graph::Bindings max_;
  std::vector<graph::Stage> chunks_;
  std::vector<std::unique_ptr<runtime::VariableStore>> stores_;
  std::vector<std::unique_ptr<runtime::StageReference>> references_;
  std::optional<runtime::ChunkExecutors> executors_;
  std::vector<runtime::StageRunner*> runners_;
  std::optional<runtime::Pipeline> pipeline_;
  SteadyClock clock_;
  std::optional<runtime::Profiler> profiler_;
};

void collect(PipeRank& rank, int index, LayoutResult& owned, Parameters& copies) {
  rank.visit([&](const Variable& variable, const std::vector<double>& values, bool owner) {
    owned.bytes[static_cast<size_t>(index)][variable.kind] += variable.bytes();
    const bool learnt = variable.kind == VariableKind::kParameter;
    if (!learnt && !variable.name.ends_with(".v")) return;
    auto& into = !owner ? copies : learnt ? owned.parameters : owned.squares;
    place(variable, values, into[variable.name]);
  });
}

}  // namespace

std::string PipeLayout::str() const {
  return fmt::format("{}{} {}{}", schedule, chunks > 0 ? fmt::format("({})", chunks) : "",
                     layout.str(), optimistic ? " optimistic" : "");
}

int64_t stages_of(const LayoutJob& job, const PipeLayout& layout) {
  return schedule_of(job, layout).stages.stages();
}

PipeResult run_pipe_layout(const LayoutJob& job, const PipeLayout& layout, Arithmetic arithmetic) {
  const int ranks = Mesh::standard(layout.layout.mesh).size();
  PipeResult result;
  LayoutResult& trained = result.trained;
  result.buckets.resize(static_cast<size_t>(ranks));
  result.early_buckets.resize(static_cast<size_t>(ranks));
  trained.bytes.resize(static_cast<size_t>(ranks));
  trained.traffic.resize(static_cast<size_t>(ranks));
  trained.arena_bytes.resize(static_cast<size_t>(ranks));
  trained.device_bytes.resize(static_cast<size_t>(ranks));
  Parameters copies;
  std::mutex mutex;
  comm::run_ranks(ranks, [&](comm::Communicator& comm) {
    PipeRank rank(job, layout, arithmetic, comm);
    LayoutResult mine;
    for (int64_t step = 1; step <= job.steps; ++step) {
      if (step == job.steps) rank.profile();
      rank.step(step, mine);
    }
    const std::lock_guard lock(mutex);
    collect(rank, comm.rank(), trained, copies);
    const auto index = static_cast<size_t>(comm.rank());
    trained.traffic[index] = comm.counters();
    trained.arena_bytes[index] = rank.activation_bytes();
    trained.device_bytes[index] = rank.device_bytes();
    rank.count_buckets(result.buckets[index], result.early_buckets[index]);
    if (!trained.losses.empty()) {  // every rank knows the same
      EXPECT_EQ(mine.losses, trained.losses) << layout.str();
      EXPECT_EQ(mine.aux_losses, trained.aux_losses) << layout.str();
      EXPECT_EQ(mine.norms, trained.norms) << layout.str();
    }
    trained.losses = mine.losses;
    trained.aux_losses = mine.aux_losses;
    trained.norms = mine.norms;
  });
  for (const auto& [name, values] : copies) {
    const bool learnt = trained.parameters.contains(name);
    EXPECT_EQ(values, (learnt ? trained.parameters : trained.squares).at(name))
        << layout.str() << ": copies of " << name;
    ++result.copies;
  }
  return result;
}

}  // namespace ashlar::train::testing
