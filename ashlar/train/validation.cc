#include "ashlar/train/validation.h"

#include "ashlar/base/error.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/passes/precision.h"

#include <algorithm>
#include <cmath>

namespace ashlar::train {

using graph::Symbol;

Validation::Validation(const models::DecoderConfig& config, DType dtype, const data::Dataset& data,
                       int64_t rows, runtime::VariableStore& store,
                       const kernels::KernelTable& table, ThreadPool& pool)
    : maker_(data.in_order({.batch = rows, .microbatch = rows})),
      batch_(maker_.reserve()),
      graph_(passes::fuse(passes::precision(models::build_evaluation(config), dtype))) {
  store.add_missing(graph_);
  store.refresh_shadows(graph_);
  graph::Bindings max;
  max[Symbol::kTokens] = rows * data.seq();
  max[Symbol::kSeqs] = data.max_sequences(rows);
  auto plan = passes::plan_memory(graph_, {.max = max, .table = &table, .threads = pool.threads()});
  executor_ = std::make_unique<runtime::Executor>(graph_, std::move(plan), store, table, pool);
  executor_->bind_input("loss_scale", &scale_);
}

MeanLoss Validation::run(int64_t batches) {
  const int64_t all = maker_.steps();
  const int64_t count = batches > 0 ? std::min(batches, all) : all;
  MeanLoss result;
  for (int64_t i = 0; i < count; ++i) {
    maker_.make(i * maker_.shape().batch, batch_);
    const data::Batch& batch = batch_.microbatches[0];
    if (batch.valid_tokens == 0) continue;
    graph::Bindings bindings;
    bindings[Symbol::kTokens] = batch.rows * batch.seq;
    bindings[Symbol::kSeqs] = batch.sequences();
    executor_->bind_input("tokens", batch.tokens.data());
    executor_->bind_input("positions", batch.positions.data());
    executor_->bind_input("row_start", batch.row_start.data());
    executor_->bind_input("targets", batch.targets.data());
    executor_->run(0, bindings, {});
    result.sum += *executor_->output("loss", bindings).as<double>();
    result.tokens += batch.valid_tokens;
  }
  ASHLAR_CHECK(result.tokens > 0, "validation: no token of the data counts");
  result.complete = count == all;
  return result;
}

}  // namespace ashlar::train
