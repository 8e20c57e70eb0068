#include "tests/train/layout_runner.h"

#include "ashlar/base/cpu.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/runtime/executor.h"
#include "ashlar/runtime/reference_run.h"

#include <algorithm>

namespace ashlar::train::testing {
namespace {

using graph::Graph;
using graph::Phase;
using graph::RunState;

class ReferenceRunner final : public LayoutRunner {
 public:
  ReferenceRunner(const Graph& graph, const graph::Bindings& bindings,
                  const runtime::VariableStore& store, comm::Communicator* comm)
      : run_(graph, bindings, store, comm), balanced_(graph.inputs().contains("aux_scale")) {}
  void set(const LayoutInputs& in, float scale, float lr) override {
    run_.bind(in.bindings);
    run_.set_input("tokens", in.tokens);
    run_.set_input("positions", in.positions);
    run_.set_input("targets", in.targets);
    run_.set_input("row_start", in.row_start);
    if (!in.token_types.empty()) run_.set_input("token_types", in.token_types);
    run_.set_input("loss_scale", std::vector<double>{scale});
    run_.set_input("lr", std::vector<double>{lr});
    if (balanced_) run_.set_input("aux_scale", std::vector<double>{in.aux_scale});
  }
  void run(const std::vector<Phase>& phases, const RunState& state) override {
    run_.run(state, phases);
  }
  double output(const std::string& name) override { return run_.output(name)[0]; }
  std::vector<double> variable(const std::string& name) override { return run_.variable(name); }

 private:
  runtime::ReferenceRun run_;
  bool balanced_;
};

class KernelRunner final : public LayoutRunner {
 public:
  KernelRunner(const Graph& graph, const graph::Bindings& max, runtime::VariableStore& store,
               comm::Communicator* comm)
      : store_(store),
        table_(kernels::kernel_table(best_isa_tier())),
        pool_(1),
        executor_(graph, passes::plan_memory(graph, {.max = max, .table = &table_}), store, table_,
                  pool_),
        balanced_(graph.inputs().contains("aux_scale")) {
    executor_.set_communicator(comm);
  }
  void set(const LayoutInputs& in, float scale, float lr) override {
    in_ = in;
    scale_ = scale;
    lr_ = lr;
    executor_.bind_input("tokens", in_.tokens.data());
    executor_.bind_input("positions", in_.positions.data());
    executor_.bind_input("targets", in_.targets.data());
    executor_.bind_input("row_start", in_.row_start.data());
    if (!in_.token_types.empty()) {
      executor_.bind_input("token_types", in_.token_types.data());
    }
    executor_.bind_input("loss_scale", &scale_);
    executor_.bind_input("lr", &lr_);
    if (balanced_) executor_.bind_input("aux_scale", &in_.aux_scale);
  }
  void run(const std::vector<Phase>& phases, const RunState& state) override {
    const auto has = [&](Phase phase) { return std::ranges::find(phases, phase) != phases.end(); };
    const int backward = executor_.program_index("backward"),
              sums = executor_.program_index("reduce");
    if (has(Phase::kForward)) run("forward", state);
    if (has(Phase::kReduce) && sums >= 0) {
      executor_.run_with_sums(backward, sums, in_.bindings, state);
    } else if (has(Phase::kInputGrad)) {
      run("backward", state);
    }
    if (has(Phase::kUpdate)) run("update", state);
  }
  const graph::PlannedPrograms* plan() const override { return &executor_.plan(); }
  void set_profiler(runtime::Profiler* profiler) override { executor_.set_profiler(profiler); }
  double output(const std::string& name) override {
    const graph::Operand value = executor_.output(name, in_.bindings);
    return value.dtype == DType::kF64 ? *value.as<double>()
                                      : static_cast<double>(*value.as<float>());
  }
  std::vector<double> variable(const std::string& name) override {
    const Tensor& tensor = store_.at(name);
    std::vector<double> values(static_cast<size_t>(tensor.elements()));
    convert(tensor.dtype(), tensor.data(), DType::kF64, values.data(), tensor.elements());
    return values;
  }

 private:
  void run(const char* program, const RunState& state) {
    executor_.run(executor_.program_index(program), in_.bindings, state);
  }

  runtime::VariableStore& store_;
  const kernels::KernelTable& table_;
  ThreadPool pool_;
  runtime::Executor executor_;
  bool balanced_;
  LayoutInputs in_;
  float scale_ = 0, lr_ = 0;
};

}  // namespace

std::unique_ptr<LayoutRunner> make_runner(Arithmetic arithmetic, const Graph& graph,
                                          const graph::Bindings& max, runtime::VariableStore& store,
                                          comm::Communicator* comm) {
  if (arithmetic == Arithmetic::kDouble) {
    return std::make_unique<ReferenceRunner>(graph, max, store, comm);
  }
  return std::make_unique<KernelRunner>(graph, max, store, comm);
}

}  // namespace ashlar::train::testing
