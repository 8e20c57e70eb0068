#include "tests/runtime/small_training.h"

#include "ashlar/base/cpu.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/graph/ops/optimizer.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/passes/precision.h"

#include <algorithm>
#include <memory>
#include <numeric>

namespace ashlar::testing {

using graph::Graph;
using graph::Phase;
using graph::Symbol;
using graph::ValueId;
using graph::VariableKind;

namespace {

void sum_over(const comm::Group& data, Graph& graph,
              const std::map<graph::VariableId, graph::VariableId>& gradients) {
  constexpr size_t kBucket = 3;
  std::vector<ValueId> bucket;
  size_t left = gradients.size();
  for (const auto& [parameter, gradient] : gradients) {
    bucket.push_back(graph.current(gradient));
    --left;
    if (bucket.size() < kBucket && left > 0) continue;
    const auto op = std::make_shared<graph::AllReduceOp>(graph::GroupLabel{data, "bucket"},
                                                         static_cast<int>(bucket.size()), true);
    graph.add_node(op, std::move(bucket), Phase::kReduce, -1, "bucket");
    bucket.clear();
  }
}

}  // namespace

Graph small_training(const SmallModelOptions& options, double clip, const comm::Group& data,
                     DType dtype, bool scaled) {
  Graph graph = small_model(options);
  std::vector<ValueId> losses = {graph.output("loss")};
  if (options.balance > 0) losses.push_back(graph.output("aux_loss"));
  const auto gradients = passes::differentiate(graph, losses);
  if (data.size() > 1) sum_over(data, graph, gradients);
  const ValueId lr = graph.add_input("lr", {DType::kF32, {1}});
  std::vector<ValueId> all;
  for (const auto& [parameter, gradient] : gradients) all.push_back(graph.current(gradient));
  const ValueId squares = graph.add_node(std::make_shared<graph::SumSquaresOp>(), all,
                                         Phase::kUpdate, -1, "update.sum_squares")[0];
  const ValueId loss_scale =
      scaled ? graph.add_input("gradient_scale", {DType::kF32, {1}}) : ValueId{};
  const auto clipped = graph.add_node(std::make_shared<graph::ClipScaleOp>(clip),
                                      {squares, loss_scale}, Phase::kUpdate, -1, "update.clip");
  graph.mark_output("grad_norm", clipped[0]);
  for (const auto& [parameter, gradient] : gradients) {
    const graph::Variable source = graph.variable(parameter);
    const auto moment = [&](const char* suffix) {
      graph::Variable variable = source;
      variable.name += suffix;
      variable.kind = VariableKind::kOptimizer;
      variable.trainable = false;
      variable.init = {};
      variable.source = parameter;
      return graph.current(graph.add_variable(std::move(variable)));
    };
    const ValueId m = moment(".m"), v = moment(".v");
    graph.add_node(std::make_shared<graph::AdamWOp>(graph::AdamWSpec{}, false),
                   {graph.current(parameter), graph.current(gradient), m, v, lr, clipped[1], {}},
                   Phase::kUpdate, -1, "update." + source.name);
  }
  return passes::precision(graph, dtype);
}

std::vector<SmallBatch> small_step(const SmallModelOptions& options,
                                   const std::vector<std::vector<int32_t>>& lengths, uint64_t seed,
                                   int masked) {
  std::vector<SmallBatch> batches;
  int64_t valid = 0;
  for (size_t k = 0; k < lengths.size(); ++k) {
    batches.push_back(small_batch(options, lengths[k], seed * 1000 + k));
    std::vector<int32_t>& targets = batches.back().targets;
    if (static_cast<int>(k) == masked) std::ranges::fill(targets, -1);
    valid += std::ranges::count_if(targets, [](int32_t target) { return target >= 0; });
  }
  for (SmallBatch& batch : batches) batch.scale = 1.0f / static_cast<float>(valid);
  return batches;
}

std::vector<SmallBatch> SmallRun::step(int number) const {
  return small_step(model, lengths, static_cast<uint64_t>(number), masked);
}

graph::RunState SmallRun::state(int number) const {
  return {.seed = seed, .step = static_cast<uint64_t>(number)};
}

graph::Bindings SmallRun::max() const {
  graph::Bindings bindings;
  for (const auto& each : lengths) {
    bindings[Symbol::kTokens] =
        std::max<int64_t>(bindings[Symbol::kTokens], std::accumulate(each.begin(), each.end(), 0));
    bindings[Symbol::kSeqs] = std::max(bindings[Symbol::kSeqs], static_cast<int64_t>(each.size()));
  }
  return bindings;
}

namespace {

bool is_trained(const graph::Variable& variable) {
  return variable.kind == VariableKind::kParameter || variable.kind == VariableKind::kOptimizer;
}

}  // namespace

TrainedResult train_in_double(const SmallRun& run) {
  const Graph graph = small_training(run.model, run.clip);
  runtime::VariableStore store(5);
  store.add_missing(graph);
  runtime::ReferenceRun reference(graph, run.max(), store);
  const bool balanced = run.model.balance > 0;
  TrainedResult result;
  for (int number = 1; number <= run.steps; ++number) {
    graph::RunState state = run.state(number);
    double loss = 0, aux_loss = 0;
    for (const SmallBatch& batch : run.step(number)) {
      reference.select(0, batch.bindings);
      set_inputs(reference, batch);
      if (balanced) {
        reference.set_input("aux_scale", std::vector{static_cast<double>(run.aux_scale())});
      }
      state.tokens = batch.bindings[Symbol::kTokens];
      reference.run(state, {Phase::kForward, Phase::kInputGrad, Phase::kWeightGrad});
      loss += reference.output("loss")[0];
      if (balanced) aux_loss += reference.output("aux_loss")[0];
      state.first_microbatch = false;
      state.first_token += static_cast<uint64_t>(state.tokens);
    }
    reference.set_input("lr", std::vector<double>{static_cast<double>(run.lr)});
    if (number == 1) {
      for (const graph::Variable& variable : graph.variables()) {
        if (variable.kind != VariableKind::kGradient) continue;
        result.gradients[variable.name] = reference.variable(variable.name);
      }
    }
    if (number != run.spoilt) reference.run(state, {Phase::kUpdate});
    result.losses.push_back(loss);
    result.aux_losses.push_back(aux_loss);
    result.norms.push_back(reference.output("grad_norm")[0]);
  }
  for (const graph::Variable& variable : graph.variables()) {
    if (is_trained(variable)) result.variables[variable.name] = reference.variable(variable.name);
  }
  return result;
}

TrainedResult train_with_kernels(const SmallRun& run) {
  const Graph graph = passes::fuse(small_training(run.model, run.clip, {}, run.dtype));
  runtime::VariableStore store(5);
  store.add_missing(graph);
  store.refresh_shadows(graph);
  const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
  ThreadPool pool(1);
  runtime::Executor executor(graph, passes::plan_memory(graph, {.max = run.max(), .table = &table}),
                             store, table, pool);
  executor.bind_input("lr", &run.lr);
  const bool balanced = run.model.balance > 0;
  const float aux_scale = run.aux_scale();
  if (balanced) executor.bind_input("aux_scale", &aux_scale);
  const auto values = [&](const std::string& name) {
    const auto floats = store.at(name).span<float>();
    return std::vector<double>(floats.begin(), floats.end());
  };
  TrainedResult result;
  for (int number = 1; number <= run.steps; ++number) {
    graph::RunState state = run.state(number);
    double loss = 0, aux_loss = 0;
    graph::Bindings bindings;
    for (const SmallBatch& batch : run.step(number)) {
      bind_inputs(executor, batch);
      bindings = batch.bindings;
      state.tokens = bindings[Symbol::kTokens];
      executor.run(executor.program_index("forward"), bindings, state);
      loss += *executor.output("loss", bindings).as<double>();
      if (balanced) aux_loss += *executor.output("aux_loss", bindings).as<double>();
      executor.run(executor.program_index("backward"), bindings, state);
      state.first_microbatch = false;
      state.first_token += static_cast<uint64_t>(state.tokens);
    }
    if (number == 1) {
      for (const graph::Variable& variable : graph.variables()) {
        if (variable.kind != VariableKind::kGradient) continue;
        result.gradients[variable.name] = values(variable.name);
      }
    }
    if (number != run.spoilt) executor.run(executor.program_index("update"), bindings, state);
    result.losses.push_back(loss);
    result.aux_losses.push_back(aux_loss);
    result.norms.push_back(
        static_cast<double>(*executor.output("grad_norm", bindings).as<float>()));
  }
  for (const graph::Variable& variable : graph.variables()) {
    if (is_trained(variable)) result.variables[variable.name] = values(variable.name);
  }
  return result;
}

}  // namespace ashlar::testing
