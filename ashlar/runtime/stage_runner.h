// Runs the Programs of one stage of a pipeline: with the kernels, or in double through the
// references, which is the oracle of every schedule.
#pragma once

#include "ashlar/comm/buffer.h"
#include "ashlar/graph/stage.h"
#include "ashlar/runtime/executor.h"
#include "ashlar/runtime/rank_slots.h"
#include "ashlar/runtime/reference_run.h"

#include <memory>
#include <string>
#include <vector>

namespace ashlar::runtime {

enum class StageProgram : uint8_t {
  kForward,
  kBackward,  // B and W in one
  kInputGrad,
  kWeightGrad,
  kReduce,
  kNorm,
  kUpdate
};

class StageRunner {
 public:
  virtual ~StageRunner() = default;
  // Whether B and W can run apart.
  virtual bool splits_backward() const = 0;
  // The dtype in which a value of a graph's dtype is held.
  virtual DType held(DType dtype) const = 0;
  // Which microbatch the calls that follow are about, its size, and its place.
  virtual void select(int microbatch, const graph::Bindings& bindings, SlotPair slots) = 0;
  // Memory of the caller's, of dtype `held` or that of the graph, that stays until the run is over.
  virtual void bind_input(int input, const void* data, DType dtype) = 0;
  // A Program without nodes does nothing.
  virtual void run(StageProgram program, const graph::RunState& state) = 0;
  // The last backward of a step: sums of gradients over ranks may begin beside it and go on behind
  // it, until finish_sums().
  virtual void run_leaving_sums(StageProgram program, const graph::RunState& state) {
    run(program, state);
  }
  virtual void finish_sums(const graph::RunState& state) { run(StageProgram::kReduce, state); }
  // Of the run before.
  virtual graph::Operand output(const std::string& name) const = 0;
  virtual comm::Buffer variable(const std::string& name) = 0;
};

// The chunks of one rank with the kernels. They compute in one arena, since one Program runs at a
// time; what microbatches save lies in slots.
class ChunkExecutors {
 public:
  struct Chunk {
    const graph::Graph& graph;
    // With shares_arena, and weight_slots where the schedule splits the chunk's backward; how many
    // slots there are is decided here.
    graph::PlannedPrograms plan;
    VariableStore& store;  // of this chunk alone: copies of a parameter have one name
  };
  // What the chunks refer to, table, pool and comm outlive this.
  ChunkExecutors(const schedule::Schedule& schedule, int rank, std::vector<Chunk> chunks,
                 const kernels::KernelTable& table, ThreadPool& pool, comm::Communicator& comm);
  ~ChunkExecutors();

  StageRunner& runner(int chunk) const;
  Executor& executor(int chunk) const;
  const RankSlots& slots() const { return slots_; }
  // With a look at every result from now on: throws Error naming the first op that gave a NaN or
  // infinity.
  void check_results();
  int64_t bytes() const { return arena_.bytes(); }  // of values and scratch

 private:
  class Runner;
  RankSlots slots_;
  Arena arena_;
  std::vector<std::unique_ptr<Runner>> runners_;
};

// In double.
class StageReference final : public StageRunner {
 public:
  // Variables start from the store's values.
  StageReference(const graph::Graph& graph, const VariableStore& store, comm::Communicator* comm);

  bool splits_backward() const override { return true; }
  DType held(DType dtype) const override { return is_float(dtype) ? DType::kF64 : dtype; }
  void select(int microbatch, const graph::Bindings& bindings, SlotPair slots) override;
  void bind_input(int input, const void* data, DType dtype) override;
  void run(StageProgram program, const graph::RunState& state) override;
  graph::Operand output(const std::string& name) const override;
  comm::Buffer variable(const std::string& name) override;

 private:
  const graph::Graph& graph_;
  ReferenceRun run_;
  graph::Bindings bindings_;
};

}  // namespace ashlar::runtime
