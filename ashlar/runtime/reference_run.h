// Runs a whole graph in double through the scalar references: the oracle of every pass, layout and
// kernel. One value at a time, no planning; for small graphs.
#pragma once

#include "ashlar/graph/graph.h"
#include "ashlar/runtime/variable_store.h"

#include <map>
#include <string>
#include <vector>

namespace ashlar::runtime {

class ReferenceRun {
 public:
  // Variables start from the store's values, widened.
  ReferenceRun(const graph::Graph& graph, const graph::Bindings& bindings,
               const VariableStore& store, comm::Communicator* comm = nullptr);

  void bind(const graph::Bindings& bindings) { bindings_ = bindings; }  // for the runs that follow
  // Values are kept apart for each microbatch, whose inputs and runs follow; Variables are shared.
  // Without a call there is one.
  void select(int microbatch, const graph::Bindings& bindings);

  void set_input(const std::string& name, std::vector<int32_t> values);
  void set_input(const std::string& name, std::vector<double> values);

  // Runs the nodes of the phases, in order. Variables keep their new versions for later runs.
  void run(const graph::RunState& state, std::vector<graph::Phase> phases);
  void run(const graph::RunState& state);  // all

  const std::vector<double>& output(const std::string& name) const;
  const std::vector<int32_t>& whole_numbers(const std::string& name) const;  // of an i32 output
  graph::Operand output_operand(const std::string& name) const;
  std::vector<double>& variable(const std::string& name);

 private:
  struct Storage {
    std::vector<double> floats;
    std::vector<int32_t> ints;
  };
  Storage& storage(graph::ValueId id);
  graph::Operand operand(graph::ValueId id);

  const graph::Graph& graph_;
  graph::Bindings bindings_;
  comm::Communicator* comm_;  // of a sharded graph
  std::vector<Storage> variables_;
  std::vector<std::vector<Storage>> values_;  // of each microbatch
  size_t selected_ = 0;
};

}  // namespace ashlar::runtime
