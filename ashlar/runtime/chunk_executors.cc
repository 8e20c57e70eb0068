#include "ashlar/base/error.h"
#include "ashlar/runtime/stage_runner.h"

#include <algorithm>
#include <array>

namespace ashlar::runtime {
namespace {

constexpr int64_t kAlignment = 64;

int64_t aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

int64_t arena_bytes(const std::vector<ChunkExecutors::Chunk>& chunks) {
  int64_t arena = 0;
  for (const auto& chunk : chunks) arena = std::max(arena, chunk.plan.arena_bytes);
  return aligned(arena);
}

int64_t all_bytes(const std::vector<ChunkExecutors::Chunk>& chunks) {
  int64_t bytes = arena_bytes(chunks);
  for (const auto& chunk : chunks) bytes += aligned(chunk.plan.all_slots_bytes());
  return bytes;
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
    const int index = programs_[static_cast<size_t>(program)];
    if (index >= 0) executor_.run(index, bindings_, state, slots_);
  }
  graph::Operand output(const std::string& name) const override {
    return executor_.output(name, bindings_, slots_);
  }
  comm::Buffer variable(const std::string& name) override {
    Tensor& tensor = store_.at(name);
    return {tensor.dtype(), tensor.data(), tensor.elements()};
  }

 private:
  VariableStore& store_;
  Executor executor_;
  std::array<int, 7> programs_{};
  graph::Bindings bindings_;
  SlotPair slots_;
};

ChunkExecutors::ChunkExecutors(std::vector<Chunk> chunks, const kernels::KernelTable& table,
                               ThreadPool& pool, comm::Communicator& comm)
    : arena_(all_bytes(chunks)) {
  int64_t slots = arena_bytes(chunks);
  for (Chunk& chunk : chunks) {
    const int64_t bytes = aligned(chunk.plan.all_slots_bytes());
    runners_.push_back(std::make_unique<Runner>(
        std::move(chunk), table, pool, ExecutorMemory{arena_.data(), arena_.data() + slots}));
    runners_.back()->executor().set_communicator(&comm);
    slots += bytes;
  }
}

ChunkExecutors::~ChunkExecutors() = default;

StageRunner& ChunkExecutors::runner(int chunk) const {
  return *runners_[static_cast<size_t>(chunk)];
}

Executor& ChunkExecutors::executor(int chunk) const {
  return runners_[static_cast<size_t>(chunk)]->executor();
}

}  // namespace ashlar::runtime
