#include "ashlar/train/pipeline_graphs.h"

#include "ashlar/passes/fuse.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/passes/split_stages.h"
#include "ashlar/schedule/slots.h"

namespace ashlar::train {

namespace {

std::vector<graph::Stage> chunks_of(const passes::ShardedGraph& sharded,
                                    const schedule::StageMap& stages, int index) {
  const auto all = passes::split_stages(sharded.graph, stages.stages(), sharded.alike);
  std::vector<graph::Stage> chunks;
  for (const schedule::Chunk& chunk : stages.chunks(index)) {
    chunks.push_back(all[static_cast<size_t>(chunk.stage)]);
  }
  return chunks;
}

}  // namespace

std::vector<graph::Stage> forward_chunks(const passes::ShardedGraph& sharded,
                                         const schedule::StageMap& stages, int index) {
  std::vector<graph::Stage> chunks = chunks_of(sharded, stages, index);
  for (graph::Stage& chunk : chunks) chunk.graph = passes::fuse(chunk.graph);
  return chunks;
}

// Recomputation comes behind the split: then no segment of it lies across a border.
std::vector<graph::Stage> build_chunks(const StepSpec& spec) {
  std::vector<graph::Stage> chunks = chunks_of(build_sharded_graph(spec), spec.schedule->stages,
                                               spec.shard.mesh.coordinate(spec.rank, "pipe"));
  for (graph::Stage& chunk : chunks) chunk.graph = finish_training_graph(chunk.graph, spec);
  return chunks;
}

std::vector<graph::PlannedPrograms> plan_chunk_memory(const std::vector<graph::Stage>& chunks,
                                                      const schedule::Schedule& schedule, int index,
                                                      const graph::Bindings& max,
                                                      const kernels::KernelTable& table,
                                                      int threads) {
  std::vector<graph::PlannedPrograms> plans;
  for (size_t c = 0; c < chunks.size(); ++c) {
    const bool splits = schedule::splits_backward(schedule, index, static_cast<int>(c));
    plans.push_back(passes::plan_memory(chunks[c].graph, {.max = max,
                                                          .weight_slots = splits ? 1 : 0,
                                                          .shares_arena = true,
                                                          .table = &table,
                                                          .threads = threads}));
  }
  return plans;
}

std::vector<runtime::ChunkExecutors::Chunk> plan_chunks(
    const std::vector<graph::Stage>& chunks, const std::vector<runtime::VariableStore*>& stores,
    const schedule::Schedule& schedule, int index, const graph::Bindings& max,
    const kernels::KernelTable& table, int threads) {
  auto plans = plan_chunk_memory(chunks, schedule, index, max, table, threads);
  std::vector<runtime::ChunkExecutors::Chunk> planned;
  for (size_t c = 0; c < chunks.size(); ++c) {
    const graph::Graph& graph = chunks[c].graph;
    stores[c]->add_missing(graph);
    planned.push_back({graph, std::move(plans[c]), *stores[c]});
  }
  return planned;
}

std::vector<runtime::PipelineChunk> parts_of(const std::vector<graph::Stage>& chunks,
                                             const runtime::ChunkExecutors& executors) {
  std::vector<runtime::PipelineChunk> parts;
  for (size_t c = 0; c < chunks.size(); ++c) {
    parts.push_back({&chunks[c], &executors.runner(static_cast<int>(c))});
  }
  return parts;
}

}  // namespace ashlar::train
