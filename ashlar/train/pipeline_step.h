// One optimizer step of a rank that holds some stages of the model: its list of the schedule
// (runtime/pipeline.h), where the microbatches are those of gradient accumulation.
#pragma once

#include "ashlar/runtime/pipeline.h"
#include "ashlar/train/optimizer_step.h"
#include "ashlar/train/pipeline_graphs.h"

#include <optional>
#include <utility>
#include <vector>

namespace ashlar::train {

class PipelineStep final : public OptimizerStep {
 public:
  // chunks: build_chunks() of the spec. Makes what the stores lack. Stores, table, pool and ranks
  // outlive this.
  PipelineStep(std::vector<graph::Stage> chunks, const StepSpec& spec, ChunkStores& stores,
               const kernels::KernelTable& table, ThreadPool& pool, const Ranks& ranks);

  StepResult run(const data::StepBatch& batch, uint64_t seed, int64_t step, double lr) override;

  void look_ahead(NextBatch next) override { next_batch_ = std::move(next); }
  void forget_next() override { pipeline_->forget_next(); }

  RankGraphs graphs() const override;
  double flops(const data::StepBatch& batch) const override;
  LossScale& loss_scale() override { return scale_; }
  int64_t arena_bytes() const override { return executors_->bytes() + pipeline_->message_bytes(); }
  int64_t kept_bytes() const override { return pipeline_->kept_bytes(); }
  void set_profiler(runtime::Profiler* to) override;

 private:
  std::vector<runtime::PipelineMicrobatch> cut(const data::StepBatch& batch);

  const Ranks& ranks_;
  bool optimistic_;
  std::vector<graph::Stage> chunks_;
  std::vector<ContextRows> rows_;  // of each microbatch
  std::optional<runtime::ChunkExecutors> executors_;
  std::optional<runtime::Pipeline> pipeline_;
  NextBatch next_batch_;
  data::StepBatch batch_;  // a copy: the next one is asked for before this step is settled
  std::vector<runtime::PipelineMicrobatch> next_;
  StepScalars scalars_;
  LossScale scale_;
};

}  // namespace ashlar::train
