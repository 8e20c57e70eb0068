// Runs planned Programs: binds symbols, points operands at their places and calls kernels in order.
// After construction it allocates nothing. It holds no policy: which Program runs when, and in
// which microbatch slot, is its caller's schedule.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/graph/program.h"
#include "ashlar/runtime/arena.h"
#include "ashlar/runtime/profiler.h"
#include "ashlar/runtime/variable_store.h"

#include <memory>
#include <string>
#include <vector>

namespace ashlar::runtime {

// Memory for Programs that were planned with shares_arena. Slot i begins at i strides, of at least
// the plan's bytes of a slot.
struct ExecutorMemory {
  std::byte* arena = nullptr;
  std::byte *slots = nullptr, *weight_slots = nullptr;
  int64_t slot_stride = 0, weight_slot_stride = 0;
};

// The slots of a microbatch: until backward, and until its weight gradients.
struct SlotPair {
  int backward = 0, weight = 0;
};

class Executor {
 public:
  // The graph, store and pool outlive the executor. Variables must be in the store already, and
  // must not be put() anew while the executor lives, but for packed ones. Without `memory` it has
  // an arena of its own.
  Executor(const graph::Graph& graph, graph::PlannedPrograms plan, VariableStore& store,
           const kernels::KernelTable& table, ThreadPool& pool, const ExecutorMemory& memory = {});
  ~Executor();

  // Memory of the caller's that holds an input during the following runs.
  void bind_input(const std::string& name, const void* data);
  int input_index(const std::string& name) const;
  void bind_input(int index, const void* data);

  // Reads packed Variables where they are in the store now.
  void rebind_packed();

  // Place of a Program of that name; -1 when the graph has none.
  int program_index(const std::string& name) const;

  // Throws Error when a binding exceeds what memory was planned for.
  void run(int program, const graph::Bindings& bindings, const graph::RunState& state,
           SlotPair slot = {});
  // The last microbatch's backward and, beside it, Program "reduce": each of its steps is started
  // as soon as what it reads is there (start_points.h) and goes on between the steps of backward.
  // Both are done when this returns.
  void run_with_sums(int program, int sums, const graph::Bindings& bindings,
                     const graph::RunState& state, SlotPair slot = {});
  // The same, but sums go on when this returns; those of other sums are not begun yet. Other
  // executors may run until finish_sums(), which begins what is left and waits for all.
  void run_leaving_sums(int program, int sums, const graph::Bindings& bindings,
                        const graph::RunState& state, SlotPair slot = {});
  void finish_sums(int sums, const graph::Bindings& bindings, const graph::RunState& state);
  // The same as run() with a look at every result: throws Error naming the first op (and layer)
  // that gave a NaN or infinity. Several times slower.
  void run_checked(int program, const graph::Bindings& bindings, const graph::RunState& state,
                   SlotPair slot = {});

  // A named result of the last run, valid until the next.
  graph::Operand output(const std::string& name, const graph::Bindings& bindings,
                        SlotPair slot = {}) const;

  const graph::PlannedPrograms& plan() const { return plan_; }
  const graph::Graph& graph() const { return graph_; }
  const Arena& arena() const { return arena_; }
  void set_profiler(Profiler* profiler) { profiler_ = profiler; }
  // The other ranks of a graph that was sharded; outlives the runs.
  void set_communicator(comm::Communicator* comm) { comm_ = comm; }

 private:
  struct BoundStep {
    const graph::Node* node;
    std::vector<graph::Operand> inputs, outputs;
    std::byte* scratch;
    int64_t scratch_bytes;
    bool starts = false;                          // goes on beside the steps that follow
    std::vector<const graph::Node*> awaits = {};  // started by earlier steps, read by this one
  };
  // Operands whose place changes from run to run.
  struct Moving {
    graph::Operand* operand;
    graph::Location location;
  };
  struct Packed {
    graph::Operand* operand;
    graph::VariableId variable;
  };
  struct SymbolicShape {
    graph::Operand* operand;
    const graph::SymShape* shape;
  };
  struct BoundProgram {
    std::vector<BoundStep> steps;
    std::vector<Moving> moving;
    std::vector<SymbolicShape> shapes;
    graph::Bindings bindings;
    bool bound = false;
  };
  struct Started {
    const graph::Node* node;
    comm::Pending pending;
  };

  void bind_program(const graph::Program& program, BoundProgram& bound);
  void check_scratch(const graph::Step& planned, const BoundStep& bound) const;
  void bind_packed(const Packed& packed) const;
  graph::Operand make_operand(graph::ValueId id, const graph::Location& location) const;
  std::byte* place(const graph::Location& location, SlotPair slot) const;
  BoundProgram& prepare(int program, const graph::Bindings& bindings, SlotPair slot);
  void run_step(const BoundStep& step, const graph::RunState& state);
  void record_step(const BoundStep& step, const graph::RunState& state);
  void record_sums();
  double waited() const;  // for other ranks, so far
  void wait_for(const std::vector<const graph::Node*>& nodes);
  void wait_for_started();
  void wait_for_all_but_sums();

  const graph::Graph& graph_;
  graph::PlannedPrograms plan_;
  VariableStore& store_;
  const kernels::KernelTable& table_;
  ThreadPool& pool_;
  Arena arena_;  // of no bytes where memory was given
  ExecutorMemory memory_;
  std::vector<BoundProgram> programs_;
  std::vector<const void*> inputs_;
  std::vector<Packed> packed_;
  Profiler* profiler_ = nullptr;
  comm::Communicator* comm_ = nullptr;
  std::vector<Started> started_;               // by the steps so far
  std::vector<std::vector<int>> sums_starts_;  // of "reduce" beside each Program
  // Recorded when they are there.
  struct OpenSum {
    const BoundStep* step;
    double start;
  };
  std::vector<OpenSum> open_sums_;
  size_t sums_begun_ = 0;  // of its steps
};

}  // namespace ashlar::runtime
