// The graph: Values computed by Nodes (an Op applied to Values) in an order that respects data
// flow, and Variables, state that lives across runs. SSA: an op that changes a Variable takes its
// current version and returns the next one, which shares its storage, so order is data flow.
#pragma once

#include "ashlar/graph/op.h"
#include "ashlar/mesh/slice.h"
#include "ashlar/tensor/shape.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::graph {

struct ValueId {
  int32_t index = -1;
  bool valid() const { return index >= 0; }
  auto operator<=>(const ValueId&) const = default;
};

struct VariableId {
  int32_t index = -1;
  bool valid() const { return index >= 0; }
  auto operator<=>(const VariableId&) const = default;
};

// How a Variable starts, when no file says otherwise.
struct Init {
  enum class Kind : uint8_t { kZeros, kOnes, kNormal, kData } kind = Kind::kZeros;
  float std = 0;            // kNormal: mean 0; drawn by (seed, variable name, element)
  std::vector<float> data;  // kData: constants such as rotary tables
};

enum class VariableKind : uint8_t {
  kParameter,  // learnt weights; saved under their Hugging Face names
  kConstant,   // tables computed from the config
  kGradient,   // of `source`
  kOptimizer,  // moments of `source`
  kShadow,     // `source` rounded to the compute dtype
  kPacked,     // `source` as the kernel table's pack_b lays it out
  kCache,      // key-value pools
};
std::string_view name(VariableKind kind);

struct Variable {
  std::string name;  // "layers.3.attn.q.weight", unique
  VariableKind kind = VariableKind::kParameter;
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<std::string> dims;  // logical names: "heads", "embed", ... one a dim
  bool trainable = true;
  Init init;
  VariableId source;  // what a gradient, moment or shadow belongs to
  // Of a rank's part: the shape of the whole, and which slice of each dim this is. Empty: all of
  // it.
  Shape whole;
  std::vector<Slice> part;
  int64_t bytes() const { return bytes_of(dtype, shape.elements()); }
  // What lower precision and decay mean by a matrix: not vectors, one for each head, in one.
  bool matrix() const { return shape.rank() >= 2 && (dims.empty() || dims.back() != "head_dim"); }
};

// When a node runs. B and W are the two halves of backward: gradients of inputs, and of weights; R
// sums gradients over ranks, after the last microbatch. N is the part of the update that runs
// before the stages of a pipeline agree on the norm (passes/split_stages.h).
enum class Phase : uint8_t { kForward, kInputGrad, kWeightGrad, kReduce, kNorm, kUpdate };
inline constexpr Phase kPhases[] = {Phase::kForward, Phase::kInputGrad, Phase::kWeightGrad,
                                    Phase::kReduce,  Phase::kNorm,      Phase::kUpdate};
std::string_view name(Phase phase);  // "F", "B", "W", "R", "N", "U"

struct Node {
  OpPtr op;
  std::vector<ValueId> inputs;  // an absent optional input is an invalid id
  std::vector<ValueId> outputs;
  Phase phase = Phase::kForward;
  int layer = -1;           // -1: outside the layers (embedding, head, update)
  std::string name;         // from the model's layer path; every pass keeps it
  bool recomputed = false;  // in backward, once more, rather than kept since forward
};

struct ValueInfo {
  std::string name;
  ValueType type;
  int32_t producer = -1;     // node; -1: an input of the run, or a Variable as the run finds it
  VariableId variable = {};  // whose version this is, or part of it
  int64_t first_row = 0;     // of a part
  bool part = false;         // only some rows of the Variable
};

class Graph {
 public:
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<ValueInfo>& values() const { return values_; }
  const std::vector<Variable>& variables() const { return variables_; }
  const Node& node(int i) const { return nodes_[static_cast<size_t>(i)]; }
  const ValueInfo& value(ValueId id) const { return values_[static_cast<size_t>(id.index)]; }
  const ValueType& type(ValueId id) const { return value(id).type; }
  const Variable& variable(VariableId id) const {
    return variables_[static_cast<size_t>(id.index)];
  }

  // Bound anew for each run (token ids, positions, learning rate).
  ValueId add_input(const std::string& name, ValueType type);
  const std::map<std::string, ValueId>& inputs() const { return inputs_; }

  VariableId add_variable(Variable variable);
  std::optional<VariableId> find_variable(const std::string& name) const;
  ValueId current(VariableId id) const { return current_[static_cast<size_t>(id.index)]; }

  // Whether some node reads each Variable; one that passes left without a reader needs no storage.
  std::vector<bool> variables_read() const;

  // Appends a node; infers the types of its outputs. An output that must share the storage of a
  // Variable's current version becomes the Variable's next version.
  std::vector<ValueId> add_node(OpPtr op, std::vector<ValueId> inputs, Phase phase, int layer,
                                std::string name);
  void mark_recomputed() { nodes_.back().recomputed = true; }  // the node added last

  // Results a caller reads after a run ("loss", "logits").
  void mark_output(const std::string& name, ValueId value) { outputs_[name] = value; }
  const std::map<std::string, ValueId>& outputs() const { return outputs_; }
  ValueId output(const std::string& name) const;

  std::string str() const;  // the text form golden tests hold; one line a node

 private:
  std::vector<Node> nodes_;
  std::vector<ValueInfo> values_;
  std::vector<Variable> variables_;
  std::vector<ValueId> current_;  // a Variable's newest version
  std::map<std::string, VariableId> variables_by_name_;
  std::map<std::string, ValueId> inputs_;
  std::map<std::string, ValueId> outputs_;
};

}  // namespace ashlar::graph
