#include "ashlar/train/pipeline_plan.h"

#include "ashlar/comm/counting_communicator.h"
#include "ashlar/comm/node_communicator.h"
#include "ashlar/plan/priced_stage.h"
#include "ashlar/runtime/pipeline.h"
#include "ashlar/runtime/rank_slots.h"
#include "ashlar/runtime/stored_variables.h"

#include <algorithm>
#include <deque>

namespace ashlar::train {

PipelinePlan plan_pipeline(const PlannedChunks& of) {
  const auto& [chunks, schedule, ranks, max, bindings, row_start, table, threads, optimistic,
               node_ranks] = of;
  const comm::Group pipe = comm::group_along(ranks.mesh(), ranks.rank(), {"pipe"});
  const auto plans = plan_chunk_memory(chunks, schedule, pipe.index, max, table, threads);
  PipelinePlan result;
  for (const graph::PlannedPrograms& plan : plans) {
    result.bytes = std::max(result.bytes, plan.arena_bytes);
  }
  result.bytes += runtime::choose_slots(schedule, pipe.index, plans).bytes;

  comm::CountingCommunicator counting(ranks.count(), ranks.rank());
  comm::NodeCommunicator comm(counting, node_ranks);
  std::deque<plan::PricedStage> stages;
  std::vector<runtime::PipelineChunk> parts;
  for (size_t c = 0; c < chunks.size(); ++c) {
    stages.emplace_back(chunks[c].graph, plans[c].weight_slots > 0, row_start, comm);
    parts.push_back({&chunks[c], &stages.back()});
  }
  runtime::Pipeline pipeline(schedule, pipe, std::move(parts), {}, max, comm,
                             comm::group_along(ranks.mesh(), ranks.rank(), {"tensor"}));
  result.bytes += pipeline.message_bytes();
  for (const char* input : {"loss_scale", "gradient_scale", "aux_scale", "lr"}) {
    pipeline.bind_input(input, nullptr);
  }
  runtime::PipelineMicrobatch microbatch{bindings, 0, bindings[graph::Symbol::kTokens], {}};
  for (const char* input : {"tokens", "positions", "row_start", "targets", "token_types"}) {
    microbatch.inputs.emplace_back(input, nullptr);
  }
  const std::vector<runtime::PipelineMicrobatch> all(static_cast<size_t>(schedule.microbatches),
                                                     microbatch);
  const bool trains = std::ranges::any_of(schedule.ranks[0], [](const schedule::Instruction& each) {
    return each.kind == schedule::Kind::kWeightGrad || each.kind == schedule::Kind::kBackward;
  });
  for (const graph::Stage& chunk : chunks) {
    for (const graph::VariableId id : runtime::updated_variables(chunk.graph)) {
      result.updated_bytes += chunk.graph.variable(id).bytes();
    }
  }
  if (trains) {
    pipeline.run(all, {.step = 1});
    pipeline.update({.step = 1});
    if (optimistic && pipe.index + 1 < pipe.size()) {  // the norm so far, to the next rank
      comm.send(pipe, pipe.index + 1, 0, {DType::kF64, nullptr, 1}, "norm");
    }
  }
  for (const auto& [key, traffic] : comm.counters().entries()) {
    result.sent[key.first] += plan::Sent{traffic.bytes, traffic.messages};
  }
  return result;
}

}  // namespace ashlar::train
