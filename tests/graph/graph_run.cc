#include "tests/graph/graph_run.h"

#include "ashlar/base/thread_pool.h"
#include "ashlar/graph/gradient.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/runtime/executor.h"
#include "ashlar/runtime/reference_run.h"
#include "tests/graph/counter_values.h"
#include "tests/kernels/tolerance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace ashlar::graph {
namespace {

std::vector<float> floats_of(const RunData& data, const std::string& name, int64_t elements) {
  const auto found = data.floats.find(name);
  if (found == data.floats.end()) return counter_values(name, elements);
  EXPECT_EQ(static_cast<int64_t>(found->second.size()), elements) << name;
  return found->second;
}

// The data of a float input, rounded to its dtype.
Tensor input_tensor(const Graph& graph, const RunData& data, const std::string& name, ValueId id) {
  const ValueType& type = graph.type(id);
  Tensor wide(DType::kF32, type.shape.bind(data.bindings));
  std::ranges::copy(floats_of(data, name, wide.elements()), wide.as<float>());
  return wide.to(type.dtype);
}

runtime::VariableStore filled_store(const Graph& graph, const RunData& data) {
  runtime::VariableStore store;
  for (const Variable& variable : graph.variables()) {
    if (variable.init.kind == Init::Kind::kData) continue;
    Tensor wide(DType::kF32, variable.shape);
    std::ranges::copy(floats_of(data, variable.name, wide.elements()), wide.as<float>());
    store.put(variable.name, wide.to(variable.dtype));
  }
  store.add_missing(graph);
  return store;
}

std::vector<double> widened(DType dtype, const void* data, int64_t elements) {
  std::vector<double> wide(static_cast<size_t>(elements));
  if (dtype == DType::kI32) {
    std::copy_n(static_cast<const int32_t*>(data), elements, wide.begin());
    return wide;
  }
  convert(dtype, data, DType::kF64, wide.data(), elements);
  return wide;
}

}  // namespace

RunResult run_fast(const Graph& graph, const RunData& data, IsaTier tier, int threads,
                   comm::Communicator* comm) {
  ThreadPool pool(threads);
  runtime::VariableStore store = filled_store(graph, data);
  const kernels::KernelTable& table = kernels::kernel_table(tier);
  runtime::Executor executor(
      graph,
      passes::plan_memory(graph, {.max = data.bindings, .table = &table, .threads = threads}),
      store, table, pool);
  executor.set_communicator(comm);
  std::vector<Tensor> inputs;  // lives while the programs run
  for (const auto& [name, id] : graph.inputs()) {
    if (is_float(graph.type(id).dtype)) {
      inputs.push_back(input_tensor(graph, data, name, id));
      executor.bind_input(name, inputs.back().data());
    } else {
      executor.bind_input(name, data.ints.at(name).data());
    }
  }
  for (size_t i = 0; i < executor.plan().programs.size(); ++i) {
    executor.run(static_cast<int>(i), data.bindings, data.state);
  }
  RunResult result;
  for (const auto& [name, id] : graph.outputs()) {
    const Operand y = executor.output(name, data.bindings);
    result.outputs[name] = {y.dtype, widened(y.dtype, y.data, y.shape.elements())};
  }
  for (const Variable& variable : graph.variables()) {
    const Tensor& tensor = store.at(variable.name);
    result.variables[variable.name] = {variable.dtype,
                                       widened(tensor.dtype(), tensor.data(), tensor.elements())};
  }
  return result;
}

RunResult run_reference(const Graph& graph, const RunData& data, comm::Communicator* comm) {
  const runtime::VariableStore store = filled_store(graph, data);
  runtime::ReferenceRun run(graph, data.bindings, store, comm);
  for (const auto& [name, id] : graph.inputs()) {
    if (is_float(graph.type(id).dtype)) {
      const Tensor input = input_tensor(graph, data, name, id);
      run.set_input(name, widened(input.dtype(), input.data(), input.elements()));
    } else {
      run.set_input(name, data.ints.at(name));
    }
  }
  run.run(data.state);
  RunResult result;
  for (const auto& [name, id] : graph.outputs()) {
    const DType dtype = graph.type(id).dtype;
    if (is_float(dtype)) {
      result.outputs[name] = {dtype, run.output(name)};
    } else {
      const std::vector<int32_t>& whole = run.whole_numbers(name);
      result.outputs[name] = {dtype, {whole.begin(), whole.end()}};
    }
  }
  for (const Variable& variable : graph.variables()) {
    result.variables[variable.name] = {variable.dtype, run.variable(variable.name)};
  }
  return result;
}

void expect_close(const std::vector<double>& found, const std::vector<double>& wanted,
                  double tolerance, const std::string& what) {
  ASSERT_EQ(found.size(), wanted.size()) << what;
  double squares = 0;
  for (const double value : wanted) squares += value * value;
  const double rms = std::sqrt(squares / static_cast<double>(std::max<size_t>(wanted.size(), 1)));
  double worst = 0;
  size_t place = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const double scale = std::max(std::abs(wanted[i]), rms);
    double error = std::abs(found[i] - wanted[i]);
    if (scale > 0) error /= scale;
    if (!(error <= worst)) {  // a NaN is worst of all
      worst = error;
      place = i;
    }
  }
  EXPECT_LE(worst, tolerance) << what << "[" << place << "] is " << found[place] << ", wanted "
                              << wanted[place];
}

void expect_close(const RunResult& found, const RunResult& wanted, double factor,
                  const std::string& what) {
  const auto compare = [&](const auto& a, const auto& b) {
    ASSERT_EQ(a.size(), b.size());
    for (const auto& [name, values] : b) {
      expect_close(a.at(name).values, values.values, factor * kernels::tolerance(values.dtype),
                   what + ": " + name);
    }
  };
  compare(found.outputs, wanted.outputs);
  compare(found.variables, wanted.variables);
}

void add_backward(Graph& graph, const std::string& output) {
  const ValueId y = graph.output(output);
  GradientState state;
  std::vector<std::pair<std::string, ValueId>> float_inputs;
  for (const auto& [name, id] : graph.inputs()) {
    if (is_float(graph.type(id).dtype)) float_inputs.emplace_back(name, id);
  }
  for (const ValueInfo& value : graph.values()) {
    const bool parameter = value.variable.valid() && graph.variable(value.variable).trainable;
    const bool input = !value.variable.valid() && is_float(value.type.dtype);
    state.wanted.push_back(parameter || input);
  }
  if (graph.type(y).dtype != DType::kF64) {  // a loss is f64, and starts by itself
    state.of_value[y] = graph.add_input("d_" + output, graph.type(y));
  }
  for (int i = static_cast<int>(graph.nodes().size()) - 1; i >= 0; --i) {
    const Node node = graph.node(i);  // a copy: gradient() appends nodes
    const bool reached = std::ranges::any_of(
        node.outputs, [&](ValueId id) { return id == y || state.of_value.contains(id); });
    if (!reached) continue;
    GradientContext context(graph, node, state);
    node.op->gradient(context);
  }
  for (const auto& [name, id] : float_inputs) {
    const auto found = state.of_value.find(id);
    // A gradient that is the output's own (add) is not computed by any op.
    if (found == state.of_value.end() || graph.value(found->second).producer < 0) continue;
    graph.mark_output("d_" + name, found->second);
  }
}

Graph forward_graph(const std::function<ValueId(Builder&)>& build) {
  Graph graph;
  Builder b(graph);
  const ValueId y = build(b);
  graph.mark_output("y", y);
  const Node& last = graph.node(graph.value(y).producer);
  for (size_t i = 1; i < last.outputs.size(); ++i) {
    graph.mark_output("y:" + std::to_string(i), last.outputs[i]);
  }
  return graph;
}

Graph with_backward(const std::function<ValueId(Builder&)>& build) {
  Graph graph = forward_graph(build);
  add_backward(graph, "y");
  return graph;
}

Bindings bind_tokens(int64_t tokens, int64_t seqs) {
  Bindings bindings;
  bindings[Symbol::kTokens] = tokens;
  bindings[Symbol::kSeqs] = seqs;
  return bindings;
}

}  // namespace ashlar::graph
