#include "tests/models/model_run.h"

#include "ashlar/base/cpu.h"
#include "ashlar/bundle/load_weights.h"
#include "ashlar/passes/plan_memory.h"
#include "tests/base/paths.h"

#include <algorithm>
#include <numeric>

namespace ashlar::testing {

std::string model_fixture(const std::string& name) { return test_data("models/") + name; }

graph::Bindings bindings(int64_t tokens, int64_t seqs, int64_t outputs) {
  graph::Bindings result;
  result[graph::Symbol::kTokens] = tokens;
  result[graph::Symbol::kSeqs] = seqs;
  result[graph::Symbol::kOutputs] = outputs;
  return result;
}

ModelRun::ModelRun(graph::Graph graph, const bundle::Bundle& model, const graph::Bindings& max)
    : graph_(std::move(graph)) {
  const auto file = model.open_weights();
  bundle::load_weights(
      file, graph_, bundle::Storage::kMapped, model.path(),
      [&](const std::string& name, Tensor tensor) { store_.put(name, std::move(tensor)); });
  store_.add_missing(graph_);
  const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
  passes::PlanOptions options;
  options.max = max;
  options.table = &table;
  options.threads = pool_.threads();
  executor_ = std::make_unique<runtime::Executor>(graph_, passes::plan_memory(graph_, options),
                                                  store_, table, pool_);
}

void ModelRun::bind(const std::string& input, std::vector<int32_t> values) {
  integers_[input] = std::move(values);
  executor_->bind_input(input, integers_[input].data());
}

void ModelRun::bind(const std::string& input, std::vector<float> values) {
  floats_[input] = std::move(values);
  executor_->bind_input(input, floats_[input].data());
}

void ModelRun::run_program(const std::string& program, const graph::Bindings& bindings) {
  executor_->run_checked(executor_->program_index(program), bindings, {});
}

graph::Operand ModelRun::run(const graph::Bindings& bindings, const std::string& output) {
  run_program("forward", bindings);
  return executor_->output(output, bindings);
}

std::vector<float> logits_of(const bundle::Bundle& model, const std::vector<int32_t>& ids,
                             int64_t rows) {
  const auto tokens = static_cast<int64_t>(ids.size());
  const graph::Bindings sizes = bindings(tokens, 1, rows);
  ModelRun run(models::build_logits(model.config()), model, sizes);
  std::vector<int32_t> positions(ids.size());
  std::iota(positions.begin(), positions.end(), 0);
  run.bind("tokens", ids);
  run.bind("positions", positions);
  run.bind("row_start", std::vector<int32_t>{0, static_cast<int32_t>(tokens)});
  run.bind("output_rows", std::vector<int32_t>(positions.end() - rows, positions.end()));
  const graph::Operand logits = run.run(sizes, "logits");
  return {logits.as<float>(), logits.as<float>() + logits.shape.elements()};
}

}  // namespace ashlar::testing
