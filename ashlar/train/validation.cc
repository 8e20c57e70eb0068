#include "ashlar/train/validation.h"

#include "ashlar/base/error.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/passes/precision.h"
#include "ashlar/train/training_step.h"

#include <algorithm>
#include <cmath>

namespace ashlar::train {

data::BatchShape validation_shape(int64_t rows, const Ranks* ranks) {
  if (ranks == nullptr) return {.batch = rows, .microbatch = rows};
  return {.batch = rows * ranks->data_ranks(),
          .microbatch = rows,
          .rank = ranks->data_rank(),
          .ranks = ranks->data_ranks()};
}

passes::ShardedGraph validation_graph(const models::DecoderConfig& config, DType dtype,
                                      Master master, const graph::Bindings& max,
                                      const ValidationRanks& over) {
  graph::Graph graph =
      passes::precision(models::build_evaluation(config, decoder_options(dtype, master)), dtype);
  if (over.plan.mesh.size() == 1) return {std::move(graph), {}, {}, {}};
  passes::ShardPlan plan = over.plan;
  plan.max = max;
  return passes::shard(graph, plan, over.ranks->rank());
}

Validation::Validation(const models::DecoderConfig& config, DType dtype, Master master,
                       const data::Dataset& data, int64_t rows, runtime::VariableStore& store,
                       const kernels::KernelTable& table, ThreadPool& pool,
                       const ValidationRanks& over)
    : ranks_(over.ranks),
      rows_(over.plan, over.ranks == nullptr ? 0 : over.ranks->rank()),
      maker_(data.in_order(validation_shape(rows, over.ranks))),
      batch_(maker_.reserve()) {
  const graph::Bindings max = rows_.bindings(rows, data.seq(), rows * data.seq());
  const passes::ShardedGraph sharded = validation_graph(config, dtype, master, max, over);
  if (over.schedule != nullptr) {
    pipeline_.emplace(sharded, *over.schedule, *over.stores, max, table, pool, *over.ranks);
    return;
  }
  graph_ = passes::fuse(sharded.graph);
  store.add_missing(graph_);
  // Beside training the shadows are those of its step.
  if (ranks_ == nullptr) store.refresh_shadows(graph_);
  auto plan = passes::plan_memory(graph_, {.max = max, .table = &table, .threads = pool.threads()});
  executor_ = std::make_unique<runtime::Executor>(graph_, std::move(plan), store, table, pool);
  executor_->bind_input("loss_scale", &scale_);
  if (ranks_ != nullptr) executor_->set_communicator(ranks_->comm());
}

int64_t Validation::planned_bytes() const {
  return (pipeline_ ? pipeline_->bytes() : executor_->plan().total_bytes()) + batch_.bytes();
}

double Validation::loss(const ContextRows::View& view) {
  if (pipeline_) return pipeline_->run(view);
  executor_->bind_input("tokens", view.tokens);
  executor_->bind_input("positions", view.positions);
  executor_->bind_input("row_start", view.row_start);
  executor_->bind_input("targets", view.targets);
  if (graph_.inputs().contains("token_types")) {
    executor_->bind_input("token_types", view.token_types);
  }
  executor_->run(0, view.bindings, {});
  return *executor_->output("loss", view.bindings).as<double>();
}

MeanLoss Validation::run(int64_t batches) {
  const int64_t all = maker_.steps();
  const int64_t count = batches > 0 ? std::min(batches, all) : all;
  MeanLoss result;
  for (int64_t i = 0; i < count; ++i) {
    maker_.make(i * all / count * maker_.shape().batch, batch_);
    const data::Batch& batch = batch_.microbatches[0];
    if (batch_.valid_tokens == 0) continue;
    result.sum += loss(rows_.cut(batch));
    result.tokens += batch_.valid_tokens;  // of all ranks
  }
  if (pipeline_) result.sum = pipeline_->sum(result.sum);
  if (ranks_ != nullptr) {
    result.sum = ranks_->share(result.sum);
    ranks_->sum({&result.sum, 1});
  }
  ASHLAR_CHECK(result.tokens > 0, "validation: no token of the data counts");
  result.complete = count == all;
  return result;
}

}  // namespace ashlar::train
