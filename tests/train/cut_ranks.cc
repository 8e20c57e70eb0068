#include "tests/train/cut_ranks.h"

#include "ashlar/base/philox.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/passes/shard.h"
#include "ashlar/train/training_step.h"
#include "tests/bundle/cut_variables.h"

#include <cstring>

namespace ashlar::train::testing {
namespace {

using graph::Variable;
using graph::VariableKind;

bool is_state(const Variable& variable) {
  return variable.kind == VariableKind::kParameter || variable.kind == VariableKind::kOptimizer;
}

// Whether stage `stage` of `stages` has a parameter, or a moment of one.
bool is_on_stage(const models::DecoderConfig& model, const std::string& name, int stage,
                 int stages) {
  if (name.starts_with("layers.")) {
    const int64_t layer = std::stoll(name.substr(std::strlen("layers.")));
    const Slice own = slice_of(model.layers, stages, stage);
    return layer >= own.offset && layer < own.end();
  }
  const bool input = name.starts_with("embed") || name.starts_with("pos");
  if (input && stage == 0) return true;
  // A tied head is the embedding once more.
  return stage == stages - 1 && (!input || (model.tied_head && name.starts_with("embed")));
}

graph::Graph training_graph(const models::DecoderConfig& model) {
  StepSpec spec;
  spec.model = model;
  spec.max_tokens = 8;
  spec.max_seqs = 2;
  return std::move(build_training_graph(spec).graph);
}

}  // namespace

const std::vector<Cut>& seven_cuts() {
  static const std::vector<Cut> cuts = {{"single"},
                                        {"data 8", {.data = 8}},
                                        {"ZeRO-3 on 8", {.data = 8}, 3},
                                        {"tensor 4", {.tensor = 4}},
                                        {"pipeline 4", {.pipe = 4}},
                                        {"2x2x2", {.data = 2, .tensor = 2, .pipe = 2}, 1},
                                        {"expert 4", {.expert = 4}}};
  return cuts;
}

CutModel::CutModel(models::DecoderConfig config)
    : config_(std::move(config)), whole_(training_graph(config_)) {
  for (const Variable& variable : whole_.variables()) {
    if (!is_state(variable)) continue;
    const RandomStream random(1, variable.name);
    Tensor tensor(variable.dtype, variable.shape);
    uint64_t element = 0;
    for (float& value : tensor.span<float>()) value = random.uniform(element++) - 0.5f;
    values_.emplace(variable.name, std::move(tensor));
  }
}

graph::Graph CutModel::graph(const Cut& cut, int rank) const {
  passes::ShardPlan plan;
  plan.mesh = Mesh::standard(cut.mesh);
  plan.zero = cut.zero;
  if (cut.mesh.expert > 1 && config_.mixture.experts == 0) {
    plan.axis_of = {{"ffn", "expert"}};  // as if each rank's channels were an expert
  }
  const int stage = plan.mesh.coordinate(rank, "pipe");
  return ashlar::testing::cut_variables(
      whole_, plan.mesh, rank, [&](const Variable& variable) -> std::optional<Placement> {
        if (!is_state(variable)) return std::nullopt;
        if (!is_on_stage(config_, variable.name, stage, cut.mesh.pipe)) return std::nullopt;
        return passes::variable_placement(whole_, variable, plan);
      });
}

runtime::VariableStore CutModel::store(const graph::Graph& graph) const {
  runtime::VariableStore store;
  for (const Variable& variable : graph.variables()) {
    const Tensor& whole = values_.at(variable.name);
    const Part all = whole_part(whole.shape().dims());
    Tensor own(variable.dtype, variable.shape);
    copy_overlap(all, whole.data(), variable.part.empty() ? all : variable.part, own.data(),
                 size_of(variable.dtype));
    store.put(variable.name, std::move(own));
  }
  return store;
}

std::vector<std::string> CutModel::differences(const graph::Graph& graph,
                                               const runtime::VariableStore& found) const {
  std::vector<std::string> names;
  const runtime::VariableStore wanted = store(graph);
  for (const auto& [name, tensor] : wanted.tensors()) {
    if (tensor.elements() == 0) continue;  // more ranks than rows: nothing to load
    const bool same = found.contains(name) && found.at(name).shape() == tensor.shape() &&
                      std::memcmp(found.at(name).data(), tensor.data(), tensor.bytes()) == 0;
    if (!same) names.push_back(name);
  }
  return names;
}

CheckpointPlan CutModel::plan(const std::string& run_dir) const {
  return {.run_dir = run_dir, .model = config_, .text_files = {}, .sync_first = {}};
}

void CutModel::save(const Cut& cut, const std::string& run_dir, int64_t step) const {
  comm::run_ranks(cut.ranks(), [&](comm::Communicator& comm) {
    const graph::Graph own = graph(cut, comm.rank());
    const runtime::VariableStore held = store(own);
    CheckpointWriter writer(plan(run_dir), {&own}, held, comm.size() > 1 ? &comm : nullptr);
    TrainerState state;
    state.step = step;
    writer.save(state);
    writer.wait();
  });
}

int64_t state_bytes(const graph::Graph& graph) {
  int64_t bytes = 0;
  for (const Variable& variable : graph.variables())
    bytes += is_state(variable) ? variable.bytes() : 0;
  return bytes;
}

}  // namespace ashlar::train::testing
