#include "tests/runtime/pipelined_training.h"

#include "ashlar/base/cpu.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/passes/split_stages.h"
#include "ashlar/runtime/pipeline.h"
#include "ashlar/schedule/communication.h"

#include <memory>
#include <mutex>

namespace ashlar::testing {
namespace {

using graph::Symbol;
using graph::VariableKind;
using runtime::PipelineMicrobatch;

std::vector<PipelineMicrobatch> microbatches(const std::vector<SmallBatch>& batches) {
  std::vector<PipelineMicrobatch> result;
  uint64_t first_token = 0;
  for (const SmallBatch& batch : batches) {
    const int64_t tokens = batch.bindings[Symbol::kTokens];
    result.push_back({batch.bindings,
                      first_token,
                      tokens,
                      {{"tokens", batch.tokens.data()},
                       {"positions", batch.positions.data()},
                       {"row_start", batch.row_start.data()},
                       {"targets", batch.targets.data()}}});
    first_token += static_cast<uint64_t>(tokens);
  }
  return result;
}

// One rank's stages and what runs them.
class Rank {
 public:
  Rank(const SmallRun& run, const schedule::Schedule& schedule,
       const std::vector<graph::Stage>& stages, Arithmetic arithmetic, comm::Communicator& comm)
      : run_(run), schedule_(schedule), comm_(comm), pool_(1) {
    const auto chunks = schedule.stages.chunks(comm.rank());
    for (const schedule::Chunk& chunk : chunks) {
      stages_.push_back(&stages[static_cast<size_t>(chunk.stage)]);
      stores_.push_back(std::make_unique<runtime::VariableStore>(5));
      stores_.back()->add_missing(stages_.back()->graph);
    }
    std::vector<runtime::PipelineChunk> parts(chunks.size());
    if (arithmetic == Arithmetic::kKernels) plan();
    for (size_t c = 0; c < chunks.size(); ++c) {
      if (arithmetic == Arithmetic::kDouble) {
        references_.push_back(
            std::make_unique<runtime::StageReference>(stages_[c]->graph, *stores_[c], &comm));
      }
      runners_.push_back(arithmetic == Arithmetic::kDouble
                             ? static_cast<runtime::StageRunner*>(references_.back().get())
                             : &executors_->runner(static_cast<int>(c)));
      parts[c] = {stages_[c], runners_[c]};
    }
    comm::Group pipe = comm.world();
    pipe.name = "pipe";
    pipeline_.emplace(schedule, std::move(pipe), std::move(parts), run.max(), comm);
    pipeline_->bind_input("lr", &run_.lr);
  }

  runtime::PipelineTotals step(int number, const std::function<void()>& before_update) {
    const std::vector<SmallBatch> batches = run_.step(number);
    pipeline_->bind_input("loss_scale", &batches[0].scale);
    const auto given = microbatches(batches);
    const auto totals = pipeline_->run(given, run_.state(number));
    before_update();
    pipeline_->update(run_.state(number));
    return totals;
  }

  // Calls f(name, values) for each Variable of a kind that this rank owns, or that is a copy.
  template <typename F>
  void visit(const std::vector<VariableKind>& kinds, bool copies, const F& f) {
    const auto chunks = schedule_.stages.chunks(comm_.rank());
    for (size_t c = 0; c < runners_.size(); ++c) {
      for (const graph::Variable& variable : stages_[c]->graph.variables()) {
        const bool owned = chunks[c].replica == 0 && stages_[c]->owns(variable.name);
        if (owned == copies || std::ranges::find(kinds, variable.kind) == kinds.end()) continue;
        const comm::Buffer buffer = runners_[c]->variable(variable.name);
        std::vector<double> values(static_cast<size_t>(buffer.elements));
        convert(buffer.dtype, static_cast<const std::byte*>(buffer.data), DType::kF64,
                values.data(), buffer.elements);
        f(variable.name, std::move(values));
      }
    }
  }

 private:
  void plan() {
    const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
    const int rank = comm_.rank();
    const auto slots = schedule::assign_slots(schedule_).chunks[static_cast<size_t>(rank)];
    std::vector<runtime::ChunkExecutors::Chunk> chunks;
    for (size_t c = 0; c < stages_.size(); ++c) {
      const bool splits = schedule::splits_backward(schedule_, rank, static_cast<int>(c));
      auto plan = passes::plan_memory(stages_[c]->graph,
                                      {.max = run_.max(),
                                       .slots = slots[c].until_backward,
                                       .weight_slots = splits ? slots[c].until_weight : 0,
                                       .shares_arena = true,
                                       .table = &table});
      chunks.push_back({stages_[c]->graph, std::move(plan), *stores_[c]});
    }
    executors_.emplace(std::move(chunks), table, pool_, comm_);
  }

  const SmallRun& run_;
  const schedule::Schedule& schedule_;
  comm::Communicator& comm_;
  ThreadPool pool_;
  std::vector<const graph::Stage*> stages_;
  std::vector<std::unique_ptr<runtime::VariableStore>> stores_;
  std::vector<std::unique_ptr<runtime::StageReference>> references_;
  std::optional<runtime::ChunkExecutors> executors_;
  std::vector<runtime::StageRunner*> runners_;
  std::optional<runtime::Pipeline> pipeline_;
};

}  // namespace

PipelinedResult train_pipelined(const SmallRun& run, const schedule::Schedule& bare,
                                Arithmetic arithmetic) {
  const schedule::Schedule schedule = schedule::ready_to_run(bare);
  std::vector<graph::Stage> stages =
      passes::split_stages(small_training(run.model, run.clip), schedule.stages.stages());
  if (arithmetic == Arithmetic::kKernels) {
    for (graph::Stage& stage : stages) stage.graph = passes::fuse(stage.graph);
  }
  PipelinedResult result;
  const int ranks = schedule.stages.ranks();
  result.sent.resize(static_cast<size_t>(ranks));
  std::mutex mutex;
  const std::vector<VariableKind> trained = {VariableKind::kParameter, VariableKind::kOptimizer};
  comm::run_ranks(ranks, [&](comm::Communicator& comm) {
    Rank rank(run, schedule, stages, arithmetic, comm);
    for (int number = 1; number <= run.steps; ++number) {
      const auto totals = rank.step(number, [&] {
        if (number > 1) return;
        rank.visit({VariableKind::kGradient}, false, [&](const std::string& name, auto values) {
          const std::lock_guard lock(mutex);
          result.trained.gradients[name] = std::move(values);
        });
      });
      if (comm.rank() == 0) {
        result.trained.losses.push_back(totals.loss);
        result.trained.norms.push_back(totals.grad_norm());
      }
    }
    result.sent[static_cast<size_t>(comm.rank())] = comm.counters().of("pipe", comm::CommOp::kSend);
    rank.visit(trained, false, [&](const std::string& name, auto values) {
      const std::lock_guard lock(mutex);
      result.trained.variables[name] = std::move(values);
    });
    comm.barrier(comm.world(), "owners first");
    rank.visit(trained, true, [&](const std::string& name, const auto& values) {
      const std::lock_guard lock(mutex);
      result.copies_equal = result.copies_equal && result.trained.variables.at(name) == values;
      ++result.copies;
    });
  });
  return result;
}

}  // namespace ashlar::testing
