#include "ashlar/train/planned_values.h"

#include "ashlar/graph/context_rows.h"
#include "ashlar/passes/stage_assignment.h"
#include "ashlar/train/model_source.h"
#include "ashlar/train/training_step.h"

#include <algorithm>
#include <utility>

namespace ashlar::train {
namespace {

using graph::Symbol;

using Runs = std::vector<Slice>;  // of rows that follow each other in the whole

// Part `index` of `parts` of the rows.
Runs part_of(const Runs& runs, int parts, int index) {
  int64_t all = 0, passed = 0;
  for (const Slice& run : runs) all += run.length;
  const Slice wanted = slice_of(all, parts, index);
  Runs result;
  for (const Slice& run : runs) {
    const int64_t begin = std::max(wanted.offset, passed) - passed;
    const int64_t end = std::min(wanted.end(), passed + run.length) - passed;
    if (begin < end) result.push_back({run.offset + begin, end - begin});
    passed += run.length;
  }
  return result;
}

class Activations {
 public:
  Activations(const StepSpec& spec, int64_t seq)
      : spec_(spec), mesh_(spec.shard.mesh), seq_(seq), sharded_(build_sharded_graph(spec)) {
    int64_t rows = spec.max_tokens / seq;
    for (const char* axis : {"data", "expert"}) rows *= mesh_.size(axis);
    for (const Symbol symbol : {Symbol::kTokens, Symbol::kPart, Symbol::kWhole}) {
      all_[symbol] = rows * seq;
    }
    all_[Symbol::kSeqs] = rows;
    if (spec.schedule) {
      stages_ = passes::assign_stages(sharded_.graph, spec.schedule->stages.stages()).nodes;
    }
  }

  std::vector<PlannedValue> list() const {
    std::vector<PlannedValue> result;
    const auto& nodes = sharded_.graph.nodes();
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (nodes[i].phase != graph::Phase::kForward) continue;
      for (const graph::ValueId output : nodes[i].outputs) {
        const auto placed = sharded_.values.find(output);
        const graph::ValueInfo& value = sharded_.graph.value(output);
        if (placed == sharded_.values.end() || value.variable.valid()) continue;
        const auto& [whole, placement] = placed->second;
        PlannedValue& planned =
            result.emplace_back(value.name, whole.dtype, whole.shape.bind(all_),
                                placement.str(mesh_), std::vector<std::vector<Part>>(),
                                std::string(nodes[i].op->kind()), placement.is_partial());
        for (int rank = 0; rank < mesh_.size(); ++rank) {
          planned.parts.push_back(runs(i, rank) ? parts(whole, placement, rank)
                                                : std::vector<Part>());
        }
      }
    }
    return result;
  }

 private:
  // Whether one of the rank's stages has the node.
  bool runs(size_t node, int rank) const {
    if (stages_.empty()) return true;
    const auto chunks = spec_.schedule->stages.chunks(mesh_.coordinate(rank, "pipe"));
    return std::ranges::any_of(
        chunks, [&](const schedule::Chunk& chunk) { return stages_[node].contains(chunk.stage); });
  }

  std::vector<Part> parts(const graph::ValueType& whole, const Placement& placement,
                          int rank) const {
    const Shape shape = whole.shape.bind(all_);
    const Part part = local_part(placement, mesh_, rank, shape.dims());
    const bool tokens = shape.rank() > 0 && whole.shape[0] == graph::Dim(Symbol::kTokens);
    if (!tokens) return {part};
    std::vector<Part> pieces;
    for (const Slice& run : rows(shape[0], placement, rank)) {
      pieces.push_back(part);
      pieces.back()[0] = run;
    }
    return pieces;
  }

  // Of tokens: sequences are dealt to data and expert ranks, context ranks have pieces of each, and
  // tensor ranks share what is left.
  Runs rows(int64_t all, const Placement& placement, int rank) const {
    Runs runs = {{0, all}};
    const auto splits = [&](const char* axis) {
      const AxisPlacement& on = placement.on(mesh_, axis);
      return mesh_.size(axis) > 1 && on.is_split() && on.dim == 0;
    };
    const auto cut = [&](const char* axis) {
      if (splits(axis)) runs = part_of(runs, mesh_.size(axis), mesh_.coordinate(rank, axis));
    };
    cut("data");
    cut("expert");
    if (splits("context")) {
      const graph::ContextCut how{seq_, spec_.shard.context == passes::ContextParallel::kZigzag};
      Runs pieces;
      for (const Slice& run : std::exchange(runs, {})) {
        for (const graph::RowRun& piece : graph::context_runs(
                 how, mesh_.size("context"), mesh_.coordinate(rank, "context"), run.length)) {
          pieces.push_back({run.offset + piece.first, piece.count});
        }
      }
      runs = std::move(pieces);
    }
    cut("tensor");
    return runs;
  }

  const StepSpec& spec_;
  const Mesh& mesh_;
  int64_t seq_;
  passes::ShardedGraph sharded_;
  graph::Bindings all_;                   // of a microbatch of all ranks
  std::vector<passes::StageSet> stages_;  // of each node, in a pipeline
};

}  // namespace

std::vector<PlannedValue> planned_activations(const TrainConfig& config) {
  const Ranks ranks(config, 0);
  const StepSpec spec = step_spec(config, model_config(config), ranks);
  return Activations(spec, config.train.seq).list();
}

}  // namespace ashlar::train
