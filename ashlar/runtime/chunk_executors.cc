#include "ashlar/base/error.h"
#include "ashlar/runtime/stage_runner.h"

#include <algorithm>
#include <array>

namespace ashlar::runtime {
namespace {

int64_t arena_bytes(const std::vector<ChunkExecutors::Chunk>& chunks) {
  int64_t arena = 0;
  for (const auto& chunk : chunks) arena = std::max(arena, chunk.plan.arena_bytes);
  return arena;
}

RankSlots slots_of(const schedule::Schedule& schedule, int rank,
                   const std::vector<ChunkExecutors::Chunk>& chunks) {
  std::vector<graph::PlannedPrograms> plans;
  for (const auto& chunk : chunks) plans.push_back(chunk.plan);
  return choose_slots(schedule, rank, plans);
}

}  // namespace

class ChunkExecutors::Runner final : public StageRunner {
 public:
  Runner(Chunk chunk, const kernels::KernelTable& table, ThreadPool& pool,
         const ExecutorMemory& memory)
      : store_(chunk.store),
        executor_(chunk.graph, std::move(chunk.plan), chunk.store, table, pool, memory) {
    constexpr std::array<const char*, 7> names = {
        "forward", "backward", "input_grad", "weight_grad", "reduce", "norm", "update"};
    for (size_t i = 0; i < names.size(); ++i) programs_[i] = executor_.program_index(names[i]);
  }

  Executor& executor() { return executor_; }
  void check_results() { run_ = &Executor::run_checked; }

  bool splits_backward() const override { return executor_.plan().weight_slots > 0; }
  DType held(DType dtype) const override { return dtype; }
  void select(int, const graph::Bindings& bindings, SlotPair slots) override {
    bindings_ = bindings;
    slots_ = slots;
  }
  void bind_input(int input, const void* data, DType) override {
    executor_.bind_input(input, data);
  }
  void run(StageProgram program, const graph::RunState& state) override {
    const int index = of(program);
    if (index >= 0) (executor_.*run_)(index, bindings_, state, slots_);
  }
  void run_leaving_sums(StageProgram program, const graph::RunState& state) override {
    if (leaves_sums(program)) {
      executor_.run_leaving_sums(of(program), of(StageProgram::kReduce), bindings_, state, slots_);
    } else {
      run(program, state);
    }
  }
  void finish_sums(const graph::RunState& state) override {
    if (leaves_sums(StageProgram::kReduce)) {
      executor_.finish_sums(of(StageProgram::kReduce), bindings_, state);
    } else {
      run(StageProgram::kReduce, state);
    }
  }
  graph::Operand output(const std::string& name) const override {
    return executor_.output(name, bindings_, slots_);
  }
  comm::Buffer variable(const std::string& name) override {
    Tensor& tensor = store_.at(name);
    return {tensor.dtype(), tensor.data(), tensor.elements()};
  }

 private:
  int of(StageProgram program) const { return programs_[static_cast<size_t>(program)]; }
  // Who looks at every result does one thing after the other.
  bool leaves_sums(StageProgram beside) const {
    return of(beside) >= 0 && of(StageProgram::kReduce) >= 0 && run_ == &Executor::run;
  }

  VariableStore& store_;
  Executor executor_;
  decltype(&Executor::run) run_ = &Executor::run;
  std::array<int, 7> programs_{};
  graph::Bindings bindings_;
  SlotPair slots_;
};

ChunkExecutors::ChunkExecutors(const schedule::Schedule& schedule, int rank,
                               std::vector<Chunk> chunks, const kernels::KernelTable& table,
                               ThreadPool& pool, comm::Communicator& comm)
    : slots_(slots_of(schedule, rank, chunks)), arena_(arena_bytes(chunks) + slots_.bytes) {
  const bool pooled = slots_.pool == schedule::SlotPool::kRank;
  ExecutorMemory memory{.arena = arena_.data()};
  for (const Chunk& chunk : chunks) {
    memory.slot_stride = std::max(memory.slot_stride, chunk.plan.slot_bytes);
    memory.weight_slot_stride = std::max(memory.weight_slot_stride, chunk.plan.weight_slot_bytes);
  }
  std::byte* next = arena_.data() + arena_bytes(chunks);
  for (size_t c = 0; c < chunks.size(); ++c) {
    graph::PlannedPrograms& plan = chunks[c].plan;
    plan.slots = slots_.chunks[c].until_backward;
    if (plan.weight_slots > 0) plan.weight_slots = slots_.chunks[c].until_weight;
    if (!pooled) {
      memory.slot_stride = plan.slot_bytes;
      memory.weight_slot_stride = plan.weight_slot_bytes;
    }
    memory.slots = next;
    memory.weight_slots = next + slots_.chunks[c].until_backward * memory.slot_stride;
    if (!pooled) {
      next = memory.weight_slots + slots_.chunks[c].until_weight * memory.weight_slot_stride;
    }
    runners_.push_back(std::make_unique<Runner>(std::move(chunks[c]), table, pool, memory));
    runners_.back()->executor().set_communicator(&comm);
  }
}

ChunkExecutors::~ChunkExecutors() = default;

StageRunner& ChunkExecutors::runner(int chunk) const {
  return *runners_[static_cast<size_t>(chunk)];
}

void ChunkExecutors::check_results() {
  for (const auto& runner : runners_) runner->check_results();
}

Executor& ChunkExecutors::executor(int chunk) const {
  return runners_[static_cast<size_t>(chunk)]->executor();
}

}  // namespace ashlar::runtime
