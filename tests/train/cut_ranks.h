// Ranks that hold hand-cut parts of a small model's state, in the seven layouts that checkpoints
// must carry over between, with values that say where in the whole they belong.
#pragma once

#include "ashlar/mesh/mesh.h"
#include "ashlar/models/decoder_config.h"
#include "ashlar/runtime/variable_store.h"
#include "ashlar/train/checkpoint_writer.h"

#include <map>
#include <string>
#include <vector>

namespace ashlar::train::testing {

struct Cut {
  std::string name;
  MeshSizes mesh = {};
  int zero = 0;

  int ranks() const { return Mesh::standard(mesh).size(); }
};

// single, data 8, ZeRO-3 on 8, tensor 4, pipeline 4, 2x2x2, expert 4.
const std::vector<Cut>& seven_cuts();

class CutModel {
 public:
  explicit CutModel(models::DecoderConfig config);

  // The Variables of one rank.
  graph::Graph graph(const Cut& cut, int rank) const;
  // Their values.
  runtime::VariableStore store(const graph::Graph& graph) const;
  // Names those of the graph's parameters and moments that differ from what they should be.
  std::vector<std::string> differences(const graph::Graph& graph,
                                       const runtime::VariableStore& store) const;
  CheckpointPlan plan(const std::string& run_dir) const;
  // All ranks save once.
  void save(const Cut& cut, const std::string& run_dir, int64_t step) const;

 private:
  models::DecoderConfig config_;
  graph::Graph whole_;
  std::map<std::string, Tensor> values_;
};

int64_t state_bytes(const graph::Graph& graph);  // of parameters and moments

}  // namespace ashlar::train::testing
