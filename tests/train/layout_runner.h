// What runs one rank's training graph: the scalar references in double, or the planned Programs
// with their kernels. The caller says which phases, in the order of a step.
#pragma once

#include "ashlar/comm/communicator.h"
#include "ashlar/runtime/profiler.h"
#include "ashlar/runtime/variable_store.h"
#include "tests/train/layout_batch.h"

#include <memory>
#include <string>
#include <vector>

namespace ashlar::train::testing {

enum class Arithmetic { kDouble, kKernels };

// Runs the phases of a rank's graph: through the references, or through the kernels.
class LayoutRunner {
 public:
  virtual ~LayoutRunner() = default;
  virtual void set(const LayoutInputs& inputs, float scale, float lr) = 0;
  // The last microbatch's backward goes with its sums over ranks.
  virtual void run(const std::vector<graph::Phase>& phases, const graph::RunState& state) = 0;
  virtual const graph::PlannedPrograms* plan() const { return nullptr; }  // of kernels
  virtual void set_profiler(runtime::Profiler*) {}                        // of kernels
  virtual double output(const std::string& name) = 0;
  virtual std::vector<double> variable(const std::string& name) = 0;
};

// `max`: the largest bindings. The graph, the store and comm (null: this rank is alone) outlive
// the runner.
std::unique_ptr<LayoutRunner> make_runner(Arithmetic arithmetic, const graph::Graph& graph,
                                          const graph::Bindings& max, runtime::VariableStore& store,
                                          comm::Communicator* comm);

}  // namespace ashlar::train::testing
