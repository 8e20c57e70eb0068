// One optimizer step of a decoder: its graph through all passes, planned, and the Programs run in
// order (forward and backward of each microbatch, then the update). Gradients of microbatches add
// up to those of the whole batch; the last one's backward sends them to other ranks as it makes
// them. After construction a step allocates nothing, but for what messages between ranks need.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/data/batch.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/passes/gradient_buckets.h"
#include "ashlar/passes/recompute.h"
#include "ashlar/passes/shard.h"
#include "ashlar/runtime/executor.h"
#include "ashlar/schedule/schedule.h"
#include "ashlar/train/context_rows.h"
#include "ashlar/train/loss_scale.h"
#include "ashlar/train/optimizer_step.h"
#include "ashlar/train/ranks.h"
#include "ashlar/train/update_rule.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace ashlar::train {

struct StepSpec {
  models::DecoderConfig model;
  UpdateRule update;
  DType dtype = DType::kF32;
  Master master = Master::kF32;
  DType grad_dtype = DType::kF32;
  LossScale loss_scale = {};  // where update.scaled_loss
  passes::Recompute recompute = passes::Recompute::kNone;
  int64_t max_tokens = 0, max_seqs = 0;  // of a microbatch
  passes::ShardPlan shard = {};          // over which ranks; this is `rank`
  int rank = 0;
  std::optional<schedule::Schedule> schedule = {};  // of a pipeline of several ranks
  bool optimistic = false;                          // its ranks update before all norms are known
  int64_t bucket_bytes = passes::kBucketBytes;      // of gradients that ranks sum at once
};

// As a configuration describes the step of one rank. Documents that may not see each other are
// sequences of their own: a microbatch has room for as many as tokens, so that what is planned goes
// by no data.
StepSpec step_spec(const TrainConfig& config, const models::DecoderConfig& model,
                   const Ranks& ranks);
// The most that a microbatch of the rank binds.
graph::Bindings largest_microbatch(const StepSpec& spec);

// How models with or without master weights are built.
models::DecoderOptions decoder_options(DType dtype, Master master);

// A decoder's graph with loss, gradients and update, ready to be planned.
struct TrainingGraph {
  graph::Graph graph;
  std::map<std::string, std::string> gradient_of;  // trained parameter -> its gradient Variable
  std::vector<Placement> placements;               // of Variables; empty on one rank
};
TrainingGraph build_training_graph(const StepSpec& spec);

// The same behind shard, before recompute and fuse: what pipelines cut into stages. The rest of the
// passes is for each stage.
passes::ShardedGraph build_sharded_graph(const StepSpec& spec);
graph::Graph finish_training_graph(const graph::Graph& sharded, const StepSpec& spec);

class TrainingStep final : public OptimizerStep {
 public:
  // Makes what the store lacks (parameters from their Init, moments at zero); what a file gives is
  // put there before. The store, the table, the pool and the ranks (null: this one is alone)
  // outlive this.
  TrainingStep(TrainingGraph training, const StepSpec& spec, runtime::VariableStore& store,
               const kernels::KernelTable& table, ThreadPool& pool, const Ranks* ranks = nullptr);

  StepResult run(const data::StepBatch& batch, uint64_t seed, int64_t step, double lr) override;

  const graph::Graph& graph() const { return training_.graph; }
  RankGraphs graphs() const override { return {&training_.graph}; }
  runtime::VariableStore& store() { return store_; }
  runtime::Executor& executor() { return *executor_; }
  void set_profiler(runtime::Profiler* to) override { executor_->set_profiler(to); }
  double flops(const data::StepBatch& batch) const override;
  LossScale& loss_scale() override { return scale_; }
  // Gradients are as the last step left them: unclipped, of the loss as it was scaled.
  const std::map<std::string, std::string>& gradient_of() const { return training_.gradient_of; }
  int64_t arena_bytes() const override { return executor_->plan().total_bytes(); }
  // Arena and Variables: what a step touches.
  int64_t planned_bytes() const { return arena_bytes() + store_.bytes(); }

 private:
  enum class Checks : uint8_t { kLossOnly, kEveryOp };
  graph::Bindings bind(const data::Batch& batch);
  double sum_over_ranks(double share) const;
  StepResult run_microbatches(const data::StepBatch& batch, graph::RunState state, Checks checks);
  [[noreturn]] void find_non_finite(const data::StepBatch& batch, const graph::RunState& state,
                                    const char* what);

  runtime::VariableStore& store_;
  TrainingGraph training_;
  const Ranks* ranks_;
  ContextRows rows_;
  std::unique_ptr<runtime::Executor> executor_;
  int forward_ = -1, backward_ = -1, reduce_ = -1, norm_ = -1, update_ = -1;
  int tokens_ = -1, positions_ = -1, row_start_ = -1, targets_ = -1;
  int token_types_ = -1;  // of models that have such
  StepScalars scalars_;
  bool balanced_ = false;  // there is an aux_loss
  LossScale scale_;
};

}  // namespace ashlar::train
