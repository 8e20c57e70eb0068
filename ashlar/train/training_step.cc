#include "ashlar/train/training_step.h"

#include "ashlar/base/error.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/passes/precision.h"
#include "ashlar/passes/prefetch.h"
#include "ashlar/passes/round_gradients.h"
#include "ashlar/train/flops.h"
#include "ashlar/train/pipeline_schedule.h"
#include "ashlar/train/shadows.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ashlar::train {
namespace {

using graph::Bindings;
using graph::Symbol;

// The update as two Programs, "norm" and "update": between them a caller sees whether the gradients
// are finite before they reach the parameters. Both keep to the one plan of memory.
void split_at_norm(const graph::Graph& graph, graph::PlannedPrograms& plan) {
  auto& programs = plan.programs;
  const auto update = std::ranges::find(programs, "update", &graph::Program::name);
  const auto clip = std::ranges::find_if(update->steps, [&](const graph::Step& step) {
    return dynamic_cast<const graph::ClipScaleOp*>(graph.node(step.node).op.get()) != nullptr;
  });
  graph::Program norm;
  norm.name = "norm";
  norm.reads = update->reads;
  norm.steps.assign(update->steps.begin(), clip + 1);
  update->steps.erase(update->steps.begin(), clip + 1);
  programs.insert(update, std::move(norm));
}

}  // namespace

StepSpec step_spec(const TrainConfig& config, const models::DecoderConfig& model,
                   const Ranks& ranks) {
  const TrainSection& train = config.train;
  const int64_t tokens = ranks.microbatch(train) * train.seq;
  StepSpec spec{.model = model,
                .update = UpdateRule::of(train),
                .dtype = train.dtype,
                .master = train.master,
                .grad_dtype = train.grad_dtype,
                .recompute = config.recompute,
                .max_tokens = tokens,
                .max_seqs = tokens,
                .shard = ranks.shard_plan(config),
                .rank = ranks.rank(),
                .optimistic = config.parallel.optimistic,
                .bucket_bytes = config.parallel.bucket_cap_mb << 20};
  if (train.dtype == DType::kF16) {
    spec.loss_scale = LossScale(train.loss_scale, train.loss_scale_steps);
  }
  if (config.mesh.pipe > 1) spec.schedule = pipeline_schedule(config);
  return spec;
}

Bindings largest_microbatch(const StepSpec& spec) {
  Bindings bindings;
  bindings[Symbol::kTokens] = bindings[Symbol::kPart] = bindings[Symbol::kWhole] = spec.max_tokens;
  bindings[Symbol::kSeqs] = spec.max_seqs;
  if (spec.shard.mesh.size() == 1) return bindings;
  const int64_t seq = std::max<int64_t>(spec.shard.seq, 1);
  return ContextRows(spec.shard, spec.rank).bindings(spec.max_tokens / seq, seq, spec.max_seqs);
}

models::DecoderOptions decoder_options(DType dtype, Master master) {
  if (master == Master::kF32) return {};
  return {.weights = dtype, .activations = dtype};
}

namespace {

// Up to precision, where all ranks are still one.
graph::Graph build_whole_graph(const StepSpec& spec, TrainingGraph& training) {
  graph::Graph graph = models::build_training(spec.model, decoder_options(spec.dtype, spec.master));
  const auto gradients = passes::differentiate(graph, models::training_losses(graph));
  for (const auto& [parameter, gradient] : gradients) {
    training.gradient_of[graph.variable(parameter).name] = graph.variable(gradient).name;
  }
  add_update_rule(graph, gradients, spec.update);
  return passes::precision(graph, spec.dtype);
}

passes::ShardedGraph shard(const graph::Graph& graph, const StepSpec& spec) {
  passes::ShardPlan plan = spec.shard;
  plan.max = largest_microbatch(spec);
  return passes::shard(graph, plan, spec.rank);
}

}  // namespace

passes::ShardedGraph build_sharded_graph(const StepSpec& spec) {
  TrainingGraph training;
  return shard(build_whole_graph(spec, training), spec);
}

graph::Graph finish_training_graph(const graph::Graph& sharded, const StepSpec& spec) {
  graph::Graph graph = passes::fuse(passes::recompute(sharded, spec.recompute));
  graph = passes::round_gradients(passes::prefetch_parameters(graph), spec.grad_dtype);
  return passes::bucket_gradients(graph, spec.bucket_bytes, spec.schedule.has_value());
}

TrainingGraph build_training_graph(const StepSpec& spec) {
  TrainingGraph result;
  graph::Graph graph = build_whole_graph(spec, result);
  if (spec.shard.mesh.size() > 1) {
    auto sharded = shard(graph, spec);
    graph = std::move(sharded.graph);
    result.placements = std::move(sharded.variables);
  }
  result.graph = finish_training_graph(graph, spec);
  return result;
}

TrainingStep::TrainingStep(TrainingGraph training, const StepSpec& spec,
                           runtime::VariableStore& store, const kernels::KernelTable& table,
                           ThreadPool& pool, const Ranks* ranks)
    : store_(store),
      training_(std::move(training)),
      ranks_(ranks),
      rows_(spec.shard, spec.rank),
      scale_(spec.loss_scale) {
  const graph::Graph& graph = training_.graph;
  store_.add_missing(graph);
  make_shadows(graph, spec.shard, store_, ranks_ == nullptr ? nullptr : ranks_->comm());
  graph::PlannedPrograms plan = passes::plan_memory(
      graph, {.max = largest_microbatch(spec), .table = &table, .threads = pool.threads()});
  split_at_norm(graph, plan);
  executor_ = std::make_unique<runtime::Executor>(graph, std::move(plan), store_, table, pool);
  forward_ = executor_->program_index("forward");
  backward_ = executor_->program_index("backward");
  reduce_ = executor_->program_index("reduce");
  if (ranks_ != nullptr) executor_->set_communicator(ranks_->comm());
  norm_ = executor_->program_index("norm");
  update_ = executor_->program_index("update");
  tokens_ = executor_->input_index("tokens");
  positions_ = executor_->input_index("positions");
  row_start_ = executor_->input_index("row_start");
  targets_ = executor_->input_index("targets");
  if (graph.inputs().contains("token_types")) token_types_ = executor_->input_index("token_types");
  executor_->bind_input("loss_scale", &scalars_.loss_scale);
  executor_->bind_input("lr", &scalars_.lr);
  balanced_ = graph.outputs().contains("aux_loss");
  if (balanced_) executor_->bind_input("aux_scale", &scalars_.aux_scale);
  if (spec.update.scaled_loss) executor_->bind_input("gradient_scale", &scalars_.gradient_scale);
}

Bindings TrainingStep::bind(const data::Batch& batch) {
  const ContextRows::View view = rows_.cut(batch);
  executor_->bind_input(tokens_, view.tokens);
  executor_->bind_input(positions_, view.positions);
  executor_->bind_input(row_start_, view.row_start);
  executor_->bind_input(targets_, view.targets);
  if (token_types_ >= 0) executor_->bind_input(token_types_, view.token_types);
  return view.bindings;
}

double TrainingStep::sum_over_ranks(double share) const {
  if (ranks_ == nullptr) return share;
  double sum = ranks_->share(share);
  ranks_->sum({&sum, 1});
  return sum;
}

StepResult TrainingStep::run_microbatches(const data::StepBatch& batch, graph::RunState state,
                                          Checks checks) {
  const auto run = checks == Checks::kEveryOp ? &runtime::Executor::run_checked  //
                                              : &runtime::Executor::run;
  StepResult result;
  state.first_microbatch = true;
  const data::Batch& first = batch.microbatches.front();
  const int64_t tokens = first.rows * first.seq;
  const auto count = static_cast<int64_t>(batch.microbatches.size());
  const int64_t index = ranks_ == nullptr ? 0 : ranks_->data_rank();
  state.first_token = static_cast<uint64_t>(index * count * tokens);
  for (const data::Batch& microbatch : batch.microbatches) {
    const Bindings bindings = bind(microbatch);
    state.tokens = bindings[Symbol::kTokens];
    (*executor_.*run)(forward_, bindings, state, {});
    result.loss += *executor_->output("loss", bindings).as<double>();
    if (balanced_) result.aux_loss += *executor_->output("aux_loss", bindings).as<double>();
    // Ranks go through the same collectives, so only one that is alone may leave.
    const bool alone = ranks_ == nullptr || ranks_->count() == 1;
    if (alone && checks == Checks::kLossOnly && !std::isfinite(result.loss)) break;
    // A replay finds what is not finite on its own: nobody sums then.
    if (reduce_ >= 0 && &microbatch == &batch.microbatches.back() && checks == Checks::kLossOnly) {
      executor_->run_with_sums(backward_, reduce_, bindings, state);
    } else {
      (*executor_.*run)(backward_, bindings, state, {});
    }
    state.first_microbatch = false;
    state.first_token += static_cast<uint64_t>(tokens);
  }
  result.loss = sum_over_ranks(result.loss);
  return result;
}

StepResult TrainingStep::run(const data::StepBatch& batch, uint64_t seed, int64_t step, double lr) {
  scalars_.set(batch, scale_, lr);
  const graph::RunState state = run_state(seed, step, scale_);
  StepResult result = run_microbatches(batch, state, Checks::kLossOnly);
  result.loss_scale = scale_.scale();
  result.loss /= result.loss_scale;
  result.aux_loss /= result.loss_scale;
  if (!std::isfinite(result.loss)) find_non_finite(batch, state, "loss");

  const Bindings bindings = bind(batch.microbatches.back());
  executor_->run(norm_, bindings, state);
  result.grad_norm = static_cast<double>(*executor_->output("grad_norm", bindings).as<float>());
  if (!std::isfinite(result.grad_norm)) {
    result.skipped = scale_.overflow();
    if (!result.skipped) find_non_finite(batch, state, "gradient norm");
    return result;
  }
  scale_.good_step();
  executor_->run(update_, bindings, state);
  return result;
}

void TrainingStep::find_non_finite(const data::StepBatch& batch, const graph::RunState& state,
                                   const char* what) {
  fail_not_finite(state.step, what, ranks_,
                  [&] { run_microbatches(batch, state, Checks::kEveryOp); });
}

double TrainingStep::flops(const data::StepBatch& batch) const {
  double flops = 0;
  for (const data::Batch& microbatch : batch.microbatches) {
    flops += model_flops(training_.graph,
                         rows_.bindings(microbatch.rows, microbatch.seq, microbatch.sequences()),
                         microbatch.row_start);
  }
  return flops;
}

}  // namespace ashlar::train
