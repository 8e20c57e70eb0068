#include "tests/runtime/pipelined_training.h"

#include "ashlar/base/cpu.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/passes/split_stages.h"
#include "ashlar/runtime/pipeline.h"
#include "ashlar/schedule/communication.h"
#include "tests/base/heap_calls.h"

#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

namespace ashlar::testing {
namespace {

using graph::Symbol;
using graph::VariableKind;
using runtime::PipelineMicrobatch;
using schedule::Schedule;

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

// Writes a NaN into a gradient of one step.
class Spoiler final : public runtime::StageRunner {
 public:
  Spoiler(StageRunner& runner, std::string gradient, int step)
      : runner_(runner), gradient_(std::move(gradient)), step_(static_cast<uint64_t>(step)) {}
  bool splits_backward() const override { return runner_.splits_backward(); }
  DType held(DType dtype) const override { return runner_.held(dtype); }
  void select(int microbatch, const graph::Bindings& bindings, runtime::SlotPair slots) override {
    runner_.select(microbatch, bindings, slots);
  }
  void bind_input(int input, const void* data, DType dtype) override {
    runner_.bind_input(input, data, dtype);
  }
  void run(runtime::StageProgram program, const graph::RunState& state) override {
    runner_.run(program, state);
    if (program != runtime::StageProgram::kReduce || state.step != step_) return;
    const comm::Buffer values = variable(gradient_);
    if (values.dtype == DType::kF64) {
      static_cast<double*>(values.data)[0] = NAN;
    } else {
      static_cast<float*>(values.data)[0] = NAN;
    }
  }
  graph::Operand output(const std::string& name) const override { return runner_.output(name); }
  comm::Buffer variable(const std::string& name) override { return runner_.variable(name); }

 private:
  StageRunner& runner_;
  std::string gradient_;
  uint64_t step_;
};

// One rank's stages and what runs them.
class Rank {
 public:
  Rank(const SmallRun& run, const Schedule& schedule, Arithmetic arithmetic,
       const PipelineLayout& layout, comm::Communicator& comm)
      : run_(run),
        aux_scale_(run.aux_scale()),
        schedule_(schedule),
        comm_(comm),
        mesh_(Mesh::standard({.data = layout.data, .pipe = schedule.stages.ranks()})),
        pipe_(comm::group_along(mesh_, comm.rank(), {"pipe"})),
        pool_(1) {
    split(layout, arithmetic == Arithmetic::kKernels);
    if (arithmetic == Arithmetic::kKernels) plan();
    std::vector<runtime::PipelineChunk> parts;
    for (size_t c = 0; c < stages_.size(); ++c) {
      if (arithmetic == Arithmetic::kDouble) {
        references_.push_back(
            std::make_unique<runtime::StageReference>(stages_[c].graph, *stores_[c], &comm));
      }
      runners_.push_back(arithmetic == Arithmetic::kDouble
                             ? static_cast<runtime::StageRunner*>(references_.back().get())
                             : &executors_->runner(static_cast<int>(c)));
      if (run.spoilt > 0 && pipe_.index == pipe_.size() - 1 && c == 0) {
        spoiler_.emplace(*runners_[c], stages_[c].gradients[0].name, run.spoilt);
        runners_[c] = &*spoiler_;
      }
      parts.push_back({&stages_[c], runners_[c]});
    }
    optimistic_ = layout.optimistic;
    ahead_ = layout.ahead;
    std::vector<schedule::InstructionSlots> slots;
    if (executors_) slots = executors_->slots().instructions;
    pipeline_.emplace(schedule, pipe_, std::move(parts), std::move(slots), run.max(), comm);
    pipeline_->bind_input("lr", &run_.lr);
    pipeline_->bind_input("aux_scale", &aux_scale_);
    pipeline_->bind_input("gradient_scale", &run_.loss_scale);
  }

  runtime::PipelineTotals step(int number, const std::function<void()>& before_update) {
    const std::vector<SmallBatch>& batches = this->batches(number);
    const float scale = batches[0].scale * run_.loss_scale;
    pipeline_->bind_input("loss_scale", &scale);
    const auto given = microbatches(batches);
    const auto mine = own(given);
    const int64_t heap_calls = testing::heap_calls();
    runtime::PipelineTotals totals;
    if (optimistic_) {
      pipeline_->step_optimistically(mine, run_.state(number));
      next_ = microbatches(this->batches(number + 1));
      if (ahead_) pipeline_->begin_next(own(next_), run_.state(number + 1));
      totals = pipeline_->settle();
      if (number == run_.steps) pipeline_->forget_next();
      before_update();
    } else {
      totals = pipeline_->run(mine, run_.state(number));
      before_update();
      if (number != run_.spoilt) pipeline_->update(run_.state(number));
    }
    heap_calls_ = testing::heap_calls() - heap_calls;
    const comm::Group group = comm::group_along(mesh_, comm_.rank(), {"data"});
    if (group.size() > 1) {
      comm_.all_reduce(group, comm::Reduce::kSum, comm::buffer(std::span(&totals.loss, 1)), "loss");
    }
    return totals;
  }

  int rollbacks() const { return pipeline_->rollbacks(); }
  int forwards_ahead() const { return pipeline_->forwards_ahead(); }
  int64_t heap_calls() const { return heap_calls_; }  // of the last step

  // Calls f(name, values) for each Variable of a kind that this rank owns, or that is a copy.
  template <typename F>
  void visit(const std::vector<VariableKind>& kinds, bool copies, const F& f) {
    const auto chunks = schedule_.stages.chunks(pipe_.index);
    for (size_t c = 0; c < runners_.size(); ++c) {
      for (const graph::Variable& variable : stages_[c].graph.variables()) {
        const bool owned = chunks[c].replica == 0 && stages_[c].owns(variable.name);
        if (owned == copies || std::ranges::find(kinds, variable.kind) == kinds.end()) continue;
        const comm::Buffer buffer = runners_[c]->variable(variable.name);
        std::vector<double> values(static_cast<size_t>(buffer.elements));
        convert(buffer.dtype, static_cast<const std::byte*>(buffer.data), DType::kF64,
                values.data(), buffer.elements);
        f(variable.name, values);
      }
    }
  }

 private:
  const std::vector<SmallBatch>& batches(int number) {
    const auto [found, is_new] = batches_.try_emplace(number);
    if (is_new) found->second = run_.step(number);
    return found->second;
  }
  // Of the microbatches of all data ranks.
  std::span<const PipelineMicrobatch> own(std::span<const PipelineMicrobatch> all) const {
    const auto m = static_cast<size_t>(schedule_.microbatches);
    return all.subspan(static_cast<size_t>(mesh_.coordinate(comm_.rank(), "data")) * m, m);
  }

  void split(const PipelineLayout& layout, bool fuse) {
    const comm::Group data = comm::group_along(mesh_, comm_.rank(), {"data"});
    graph::Graph graph =
        small_training(run_.model, run_.clip, data, run_.dtype, run_.loss_scale != 1);
    graph = passes::recompute(graph, layout.recompute);
    const auto all = passes::split_stages(graph, schedule_.stages.stages());
    for (const schedule::Chunk& chunk : schedule_.stages.chunks(pipe_.index)) {
      stages_.push_back(all[static_cast<size_t>(chunk.stage)]);
      if (fuse) stages_.back().graph = passes::fuse(stages_.back().graph);
      stores_.push_back(std::make_unique<runtime::VariableStore>(5));
      stores_.back()->add_missing(stages_.back().graph);
      stores_.back()->refresh_shadows(stages_.back().graph);
    }
  }

  void plan() {
    const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
    std::vector<runtime::ChunkExecutors::Chunk> chunks;
    for (size_t c = 0; c < stages_.size(); ++c) {
      const bool splits = schedule::splits_backward(schedule_, pipe_.index, static_cast<int>(c));
      auto plan = passes::plan_memory(stages_[c].graph, {.max = run_.max(),
                                                         .weight_slots = splits ? 1 : 0,
                                                         .shares_arena = true,
                                                         .table = &table});
      chunks.push_back({stages_[c].graph, std::move(plan), *stores_[c]});
    }
    executors_.emplace(schedule_, pipe_.index, std::move(chunks), table, pool_, comm_);
  }

  const SmallRun& run_;
  float aux_scale_;
  const Schedule& schedule_;
  comm::Communicator& comm_;
  Mesh mesh_;
  comm::Group pipe_;
  ThreadPool pool_;
  std::vector<graph::Stage> stages_;  // of the chunks
  std::vector<std::unique_ptr<runtime::VariableStore>> stores_;
  std::vector<std::unique_ptr<runtime::StageReference>> references_;
  std::optional<runtime::ChunkExecutors> executors_;
  std::vector<runtime::StageRunner*> runners_;
  std::optional<Spoiler> spoiler_;
  std::optional<runtime::Pipeline> pipeline_;
  bool optimistic_ = false, ahead_ = false;
  std::map<int, std::vector<SmallBatch>> batches_;  // by step
  std::vector<PipelineMicrobatch> next_;
  int64_t heap_calls_ = 0;
};

}  // namespace

PipelinedResult train_pipelined(const SmallRun& run, const Schedule& bare, Arithmetic arithmetic,
                                const PipelineLayout& layout) {
  const Schedule schedule = schedule::ready_to_run(bare);
  PipelinedResult result;
  const int ranks = schedule.stages.ranks() * layout.data;
  result.sent.resize(static_cast<size_t>(ranks));
  result.rollbacks.resize(static_cast<size_t>(ranks));
  result.ahead.resize(static_cast<size_t>(ranks));
  std::mutex mutex;
  const std::vector<VariableKind> trained = {VariableKind::kParameter, VariableKind::kOptimizer};
  comm::run_ranks(ranks, [&](comm::Communicator& comm) {
    Rank rank(run, schedule, arithmetic, layout, comm);
    const auto collect = [&](const std::vector<VariableKind>& kinds, auto& into) {
      rank.visit(kinds, false, [&](const std::string& name, const auto& values) {
        const std::lock_guard lock(mutex);
        into[name] = values;
      });
    };
    for (int number = 1; number <= run.steps; ++number) {
      const auto totals = rank.step(number, [&] {
        if (number == 1) collect({VariableKind::kGradient}, result.trained.gradients);
      });
      if (comm.rank() != 0) continue;
      result.trained.losses.push_back(totals.loss);
      result.trained.aux_losses.push_back(totals.aux_loss);
      result.trained.norms.push_back(totals.grad_norm());
    }
    result.sent[static_cast<size_t>(comm.rank())] = comm.counters().of("pipe", comm::CommOp::kSend);
    result.rollbacks[static_cast<size_t>(comm.rank())] = rank.rollbacks();
    result.ahead[static_cast<size_t>(comm.rank())] = rank.forwards_ahead();
    if (ranks == 1) result.heap_calls = rank.heap_calls();
    collect(trained, result.trained.variables);
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
