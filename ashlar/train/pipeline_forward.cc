#include "ashlar/train/pipeline_forward.h"

#include "ashlar/schedule/communication.h"

namespace ashlar::train {

PipelineForward::PipelineForward(const passes::ShardedGraph& sharded,
                                 const schedule::Schedule& schedule, ChunkStores& stores,
                                 const graph::Bindings& max, const kernels::KernelTable& table,
                                 ThreadPool& pool, const Ranks& ranks)
    : ranks_(ranks), pipe_(comm::group_along(ranks.mesh(), ranks.rank(), {"pipe"})) {
  const schedule::Schedule forwards = schedule::forwards(schedule.stages);
  chunks_ = forward_chunks(sharded, forwards.stages, pipe_.index);
  std::vector<runtime::VariableStore*> held;
  for (const graph::Stage& chunk : chunks_) {
    held.push_back(&stores.chunk(static_cast<size_t>(schedule.stages.chunk(0, chunk.index))));
  }
  auto planned = plan_chunks(chunks_, held, forwards, pipe_.index, max, table, pool.threads());
  executors_.emplace(forwards, pipe_.index, std::move(planned), table, pool, *ranks.comm());
  pipeline_.emplace(forwards, pipe_, parts_of(chunks_, *executors_),
                    executors_->slots().instructions, max, *ranks.comm(),
                    comm::group_along(ranks.mesh(), ranks.rank(), {"tensor"}));
  pipeline_->bind_input("loss_scale", &scale_);
}

double PipelineForward::run(const ContextRows::View& view) {
  const runtime::PipelineMicrobatch microbatch{view.bindings,
                                               0,
                                               view.bindings[graph::Symbol::kTokens],
                                               {{"tokens", view.tokens},
                                                {"positions", view.positions},
                                                {"row_start", view.row_start},
                                                {"targets", view.targets},
                                                {"token_types", view.token_types}}};
  return pipeline_->forward({&microbatch, 1}, {});
}

double PipelineForward::sum(double losses) const {
  ranks_.comm()->all_reduce(pipe_, comm::Reduce::kSum, comm::buffer(std::span(&losses, 1)),
                            "validation loss");
  return losses;
}

}  // namespace ashlar::train
