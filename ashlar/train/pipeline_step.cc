#include "ashlar/train/pipeline_step.h"

#include "ashlar/train/flops.h"
#include "ashlar/train/shadows.h"

#include <algorithm>
#include <cmath>

namespace ashlar::train {
namespace {

std::vector<runtime::VariableStore*> stores_of(ChunkStores& stores) {
  std::vector<runtime::VariableStore*> result;
  for (size_t c = 0; c < stores.size(); ++c) result.push_back(&stores.chunk(c));
  return result;
}

}  // namespace

PipelineStep::PipelineStep(std::vector<graph::Stage> chunks, const StepSpec& spec,
                           ChunkStores& stores, const kernels::KernelTable& table, ThreadPool& pool,
                           const Ranks& ranks)
    : ranks_(ranks),
      optimistic_(spec.optimistic),
      chunks_(std::move(chunks)),
      rows_(static_cast<size_t>(spec.schedule->microbatches), ContextRows(spec.shard, spec.rank)),
      scale_(spec.loss_scale) {
  const comm::Group pipe = comm::group_along(ranks.mesh(), ranks.rank(), {"pipe"});
  const graph::Bindings max = largest_microbatch(spec);
  auto planned = plan_chunks(chunks_, stores_of(stores), *spec.schedule, pipe.index, max, table,
                             pool.threads());
  for (size_t c = 0; c < chunks_.size(); ++c) {
    make_shadows(chunks_[c].graph, spec.shard, stores.chunk(c), ranks.comm());
  }
  executors_.emplace(*spec.schedule, pipe.index, std::move(planned), table, pool, *ranks.comm());
  pipeline_.emplace(*spec.schedule, pipe, parts_of(chunks_, *executors_),
                    executors_->slots().instructions, max, *ranks.comm(),
                    comm::group_along(ranks.mesh(), ranks.rank(), {"tensor"}));
  pipeline_->bind_input("loss_scale", &scalars_.loss_scale);
  pipeline_->bind_input("gradient_scale", &scalars_.gradient_scale);
  pipeline_->bind_input("aux_scale", &scalars_.aux_scale);
  pipeline_->bind_input("lr", &scalars_.lr);
  if (optimistic_) pipeline_->prepare_to_roll_back();
}

std::vector<runtime::PipelineMicrobatch> PipelineStep::cut(const data::StepBatch& batch) {
  std::vector<runtime::PipelineMicrobatch> result;
  const auto count = static_cast<int64_t>(batch.microbatches.size());
  for (size_t k = 0; k < batch.microbatches.size(); ++k) {
    const data::Batch& microbatch = batch.microbatches[k];
    const ContextRows::View view = rows_[k].cut(microbatch);
    const int64_t place = ranks_.data_rank() * count + static_cast<int64_t>(k);
    result.push_back({view.bindings,
                      static_cast<uint64_t>(place * microbatch.rows * microbatch.seq),
                      view.bindings[graph::Symbol::kTokens],
                      {{"tokens", view.tokens},
                       {"positions", view.positions},
                       {"row_start", view.row_start},
                       {"targets", view.targets},
                       {"token_types", view.token_types}}});
  }
  return result;
}

StepResult PipelineStep::run(const data::StepBatch& given, uint64_t seed, int64_t step, double lr) {
  if (optimistic_) batch_ = given;
  const data::StepBatch& batch = optimistic_ ? batch_ : given;
  scalars_.set(batch, scale_, lr);
  const graph::RunState state = run_state(seed, step, scale_);
  const auto microbatches = cut(batch);
  runtime::PipelineTotals totals;
  if (optimistic_) {
    pipeline_->step_optimistically(microbatches, state);
    if (const data::StepBatch* next = next_batch_ ? next_batch_(step) : nullptr) {
      next_ = cut(*next);
      pipeline_->begin_next(next_, run_state(seed, step + 1, scale_));
    }
    totals = pipeline_->settle();
  } else {
    totals = pipeline_->run(microbatches, state);
  }
  StepResult result{.loss_scale = scale_.scale()};
  result.loss = ranks_.share(totals.loss / result.loss_scale);
  ranks_.sum({&result.loss, 1});
  result.aux_loss = totals.aux_loss / result.loss_scale;
  result.grad_norm = totals.grad_norm() / result.loss_scale;
  const auto look = [&] {
    executors_->check_results();
    pipeline_->forget_next();
    pipeline_->run(cut(batch), state);
  };
  if (!std::isfinite(result.loss)) fail_not_finite(state.step, "loss", &ranks_, look);
  if (!std::isfinite(result.grad_norm)) {
    result.skipped = scale_.overflow();
    if (!result.skipped) fail_not_finite(state.step, "gradient norm", &ranks_, look);
    return result;
  }
  scale_.good_step();
  if (!optimistic_) pipeline_->update(state);
  return result;
}

RankGraphs PipelineStep::graphs() const {
  RankGraphs graphs;
  for (const graph::Stage& chunk : chunks_) graphs.push_back(&chunk.graph);
  return graphs;
}

// A chunk counts the microbatches that run on it: of several copies of the model each has some.
double PipelineStep::flops(const data::StepBatch& batch) const {
  const schedule::Schedule& schedule = pipeline_->schedule();
  const auto index = static_cast<size_t>(ranks_.pipe_index());
  double flops = 0;
  for (const schedule::Instruction& each : schedule.ranks[index]) {
    if (each.kind != schedule::Kind::kForward) continue;
    const auto k = static_cast<size_t>(each.microbatch);
    const data::Batch& microbatch = batch.microbatches[k];
    flops += model_flops(chunks_[static_cast<size_t>(each.chunk)].graph,
                         rows_[k].bindings(microbatch.rows, microbatch.seq, microbatch.sequences()),
                         microbatch.row_start);
  }
  return flops;
}

void PipelineStep::set_profiler(runtime::Profiler* to) {
  for (size_t c = 0; c < chunks_.size(); ++c) {
    executors_->executor(static_cast<int>(c)).set_profiler(to);
  }
}

}  // namespace ashlar::train
