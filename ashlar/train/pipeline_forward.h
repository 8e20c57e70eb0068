// The loss of a model whose stages are on the ranks of a pipeline, one microbatch after another:
// what validation runs there. It shares the trainer's parameters.
#pragma once

#include "ashlar/runtime/pipeline.h"
#include "ashlar/train/pipeline_graphs.h"

#include <optional>
#include <vector>

namespace ashlar::train {

class PipelineForward {
 public:
  // sharded: a graph that ends in "loss", behind shard. schedule: of the training, whose first copy
  // of the model this is. Makes what the stores lack. All but the graph outlive this.
  PipelineForward(const passes::ShardedGraph& sharded, const schedule::Schedule& schedule,
                  ChunkStores& stores, const graph::Bindings& max,
                  const kernels::KernelTable& table, ThreadPool& pool, const Ranks& ranks);

  // The loss of a microbatch where the last stage is, 0 on other ranks.
  double run(const ContextRows::View& view);
  // What all ranks of the pipe say of a sum over such losses.
  double sum(double losses) const;
  int64_t bytes() const { return executors_->bytes() + pipeline_->message_bytes(); }

 private:
  const Ranks& ranks_;
  comm::Group pipe_;
  std::vector<graph::Stage> chunks_;
  std::optional<runtime::ChunkExecutors> executors_;
  std::optional<runtime::Pipeline> pipeline_;
  float scale_ = 1;
};

}  // namespace ashlar::train
