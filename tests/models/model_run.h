// Runs a model's graphs in tests: weights loaded, memory planned, inputs bound.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/runtime/executor.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ashlar::testing {

// A model of tests/fixtures/models.
std::string model_fixture(const std::string& name);

// A graph's Programs on this machine's best tier, two threads.
class ModelRun {
 public:
  ModelRun(graph::Graph graph, const bundle::Bundle& model, const graph::Bindings& max);

  // Kept until bound anew.
  void bind(const std::string& input, std::vector<int32_t> values);
  void bind(const std::string& input, std::vector<float> values);
  void run_program(const std::string& program, const graph::Bindings& bindings);
  // Runs the forward Program and returns one of its results.
  graph::Operand run(const graph::Bindings& bindings, const std::string& output);

  runtime::VariableStore& store() { return store_; }

 private:
  graph::Graph graph_;
  ThreadPool pool_{2};
  runtime::VariableStore store_;
  std::unique_ptr<runtime::Executor> executor_;
  std::map<std::string, std::vector<int32_t>> integers_;
  std::map<std::string, std::vector<float>> floats_;
};

graph::Bindings bindings(int64_t tokens, int64_t seqs, int64_t outputs);

// f32 [rows, vocab] of one sequence: the logits of its last rows, through build_logits.
std::vector<float> logits_of(const bundle::Bundle& model, const std::vector<int32_t>& ids,
                             int64_t rows);

}  // namespace ashlar::testing
