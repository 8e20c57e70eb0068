// The mean loss of a model on text it does not learn from: a forward graph without dropout that
// shares the trainer's parameters.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/data/dataset.h"
#include "ashlar/models/decoder_config.h"
#include "ashlar/runtime/executor.h"
#include "ashlar/train/config.h"
#include "ashlar/train/context_rows.h"
#include "ashlar/train/pipeline_forward.h"
#include "ashlar/train/ranks.h"

#include <cstdint>
#include <memory>
#include <optional>

namespace ashlar::train {

struct MeanLoss {
  double sum = 0;  // of -log p, in nats
  int64_t tokens = 0;
  bool complete = false;  // the data was read to its end
  double mean() const { return sum / static_cast<double>(tokens); }
};

// Ranks that share the work as they share training.
struct ValidationRanks {
  const Ranks* ranks = nullptr;  // null: alone
  passes::ShardPlan plan = {};
  // Of a pipeline: its schedule, and the stores of its chunks.
  const schedule::Schedule* schedule = nullptr;
  ChunkStores* stores = nullptr;
};

// The graph of a rank, before fuse; max: its largest batch.
passes::ShardedGraph validation_graph(const models::DecoderConfig& config, DType dtype,
                                      Master master, const graph::Bindings& max,
                                      const ValidationRanks& over);
// The batch of rows that a rank takes at once.
data::BatchShape validation_shape(int64_t rows, const Ranks* ranks);

class Validation {
 public:
  // rows: that a rank computes at once. store: not looked at where a pipeline's are given. Makes
  // what the store lacks. All but the config outlive this.
  Validation(const models::DecoderConfig& config, DType dtype, Master master,
             const data::Dataset& data, int64_t rows, runtime::VariableStore& store,
             const kernels::KernelTable& table, ThreadPool& pool, const ValidationRanks& over = {});

  // At most `batches` batches, evenly spread over the data; 0: all. Throws Error where no token
  // counts.
  MeanLoss run(int64_t batches);

  // Beside the store's: the arena and a batch.
  int64_t planned_bytes() const;

 private:
  double loss(const ContextRows::View& view);

  const Ranks* ranks_;
  ContextRows rows_;
  data::BatchMaker maker_;
  data::StepBatch batch_;
  graph::Graph graph_;
  std::unique_ptr<runtime::Executor> executor_;
  std::optional<PipelineForward> pipeline_;  // in place of graph and executor
  float scale_ = 1;
};

}  // namespace ashlar::train
