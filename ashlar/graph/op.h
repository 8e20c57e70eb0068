// What an operation of the graph knows about itself: its shape rule, gradient, cost, which outputs
// may share an input's storage, its kernel call and its fp64 reference. Each op is one small class
// with typed fields in one file of graph/ops/.
#pragma once

#include "ashlar/comm/communicator.h"
#include "ashlar/graph/dim.h"
#include "ashlar/graph/sharding.h"
#include "ashlar/kernels/table.h"
#include "ashlar/tensor/dtype.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::graph {

class GradientContext;

// dtype and shape of a value: what shape rules work on.
struct ValueType {
  DType dtype = DType::kF32;
  SymShape shape;
  bool present = true;  // false: an optional input that was left out

  static ValueType absent() { return {DType::kF32, {}, false}; }
  bool operator==(const ValueType&) const = default;
  std::string str() const;  // "f32[tokens, 768]"
};

// A value while a Program runs.
struct Operand {
  std::byte* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;
  bool present = true;  // false: an optional input that was left out; its shape is [0]

  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data);
  }
};

// What a run brings besides its values.
struct RunState {
  uint64_t seed = 0;
  uint64_t step = 0;             // optimizer step, from 1
  uint64_t skipped = 0;          // steps before this one that updated nothing
  bool first_microbatch = true;  // gradients are written, not added to
  uint64_t first_token = 0;      // index of this microbatch's first token in the global batch
  int64_t tokens = 0;            // of this microbatch, before ranks of one microbatch divide them
};

// FLOPs are those of matmuls and attention (2 per multiply-add); bytes are the op's compulsory
// reads and writes.
struct Cost {
  double flops = 0;
  double bytes = 0;
};

// Absent operands count nothing.
double operand_bytes(std::span<const Operand> operands);

struct KernelCall {
  const kernels::KernelTable& table;
  kernels::Team team;
  std::span<const Operand> inputs;
  std::span<const Operand> outputs;
  const RunState& state;
  comm::Communicator* comm = nullptr;  // the other ranks; null where there are none
};

// Floats are f64 here, integers as they are. The reference is the oracle of every pass and kernel.
struct ReferenceCall {
  std::span<const Operand> inputs;
  std::span<const Operand> outputs;
  const RunState& state;
  comm::Communicator* comm = nullptr;
};

// Output `output` lives in the storage of input `input`: always when `required` (a Variable's new
// version), else when the planner finds the input dead afterwards. A `part` of a Variable, its rows
// from `first_row`, is not a new version of it: an op that takes the whole makes that.
struct Alias {
  int output = 0;
  int input = 0;
  bool required = false;
  bool part = false;
  int64_t first_row = 0;
};

class Op {
 public:
  virtual ~Op() = default;

  virtual std::string_view kind() const = 0;
  // Fields as the text dump shows them: "heads=4 window=64".
  virtual std::string attributes() const { return {}; }

  // Types of the outputs; throws Error with the op's name, the shapes found and wanted.
  virtual std::vector<ValueType> infer(std::span<const ValueType> inputs) const = 0;

  // Emits the backward ops and hands their results to the context. Default: not differentiable.
  virtual void gradient(GradientContext& context) const;

  // Shapes are bound in these three.
  virtual Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const;
  virtual int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                                const kernels::KernelTable& table, int threads) const;
  virtual void run(const KernelCall& call) const = 0;
  // The same for ops that only wait for other ranks: what goes on beside the ops that follow.
  virtual std::vector<comm::Pending> start(const KernelCall& call) const;
  virtual void reference(const ReferenceCall& call) const = 0;

  virtual std::vector<Alias> aliases() const { return {}; }

  // Whether the op runs without this input, as with a bias: then where the result is a sum over
  // ranks, all but the first rank may leave it out.
  virtual bool optional_input(int) const { return false; }
  // The ways to run along a mesh axis beside the one that always is: everything replicated. And the
  // op for one rank's part; null: the same op. See sharding.h.
  virtual std::vector<AxisStrategy> strategies(const AxisSite&) const { return {}; }
  virtual std::shared_ptr<const Op> local(const LocalSite&) const { return nullptr; }
};

using OpPtr = std::shared_ptr<const Op>;

}  // namespace ashlar::graph
