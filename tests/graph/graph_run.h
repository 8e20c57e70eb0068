// Runs a small graph twice, fast through the Executor and in double through ReferenceRun, on the
// same data, and compares everything the graph gives: outputs and Variables.
#pragma once

#include "ashlar/base/isa_tier.h"
#include "ashlar/graph/builder.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ashlar::graph {

// What a graph runs on. Float inputs and Variables that are not named get counter_values of their
// own name (a gradient Variable too: what is there before the first microbatch must not matter);
// Variables with data of their own (Init::kData) keep it.
struct RunData {
  Bindings bindings = {};
  std::map<std::string, std::vector<float>> floats = {};
  std::map<std::string, std::vector<int32_t>> ints = {};
  RunState state{.seed = 3, .step = 1};
};

struct RunResult {
  struct Values {
    DType dtype;  // in the graph
    std::vector<double> values;
  };
  std::map<std::string, Values> outputs, variables;
};

// `comm`: the other ranks of a graph for one of several.
RunResult run_fast(const Graph& graph, const RunData& data, IsaTier tier, int threads = 2,
                   comm::Communicator* comm = nullptr);
RunResult run_reference(const Graph& graph, const RunData& data,
                        comm::Communicator* comm = nullptr);

// Every element to `factor` times the table's tolerance of its dtype (tests/kernels/tolerance.h).
void expect_close(const RunResult& found, const RunResult& wanted, double factor,
                  const std::string& what);
// One array, to `tolerance` of the wanted value or of the root mean square of all of them.
void expect_close(const std::vector<double>& found, const std::vector<double>& wanted,
                  double tolerance, const std::string& what);

// Appends the backward of all nodes, started by an input "d_NAME" for the output NAME (a loss needs
// none). Gradients of float inputs become outputs "d_INPUT"; those of parameters go to their
// Variables.
void add_backward(Graph& graph, const std::string& output);

// The graph of what `build` makes, its result an output "y", and its further results "y:1", ...
Graph forward_graph(const std::function<ValueId(Builder&)>& build);
// The same with its backward.
Graph with_backward(const std::function<ValueId(Builder&)>& build);

Bindings bind_tokens(int64_t tokens, int64_t seqs = 1);

}  // namespace ashlar::graph
