#include "ashlar/train/run_plan.h"

#include "ashlar/base/cpu.h"
#include "ashlar/data/loader.h"
#include "ashlar/graph/context_rows.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/runtime/stored_variables.h"
#include "ashlar/schedule/communication.h"
#include "ashlar/schedule/generators.h"
#include "ashlar/schedule/play.h"
#include "ashlar/train/model_source.h"
#include "ashlar/train/pipeline_plan.h"
#include "ashlar/train/sampling.h"
#include "ashlar/train/save_plan.h"
#include "ashlar/train/training_step.h"
#include "ashlar/train/validation.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>

namespace ashlar::train {
namespace {

using graph::Phase;
using schedule::Kind;

const plan::PhaseCost& of(const plan::GraphCost& cost, Phase phase) {
  return cost[static_cast<size_t>(phase)];
}

// The phases that an instruction runs.
std::vector<Phase> phases_of(Kind kind) {
  switch (kind) {
    case Kind::kForward:
      return {Phase::kForward};
    case Kind::kInputGrad:
      return {Phase::kInputGrad};
    case Kind::kWeightGrad:
      return {Phase::kWeightGrad};
    case Kind::kBackward:
      return {Phase::kInputGrad, Phase::kWeightGrad};
    default:
      return {};
  }
}

// What a rank runs: the whole model's graph, or the chunks of a pipeline.
struct RankModel {
  RankModel(const TrainConfig& config, const models::DecoderConfig& model, int rank, int on_a_host)
      : ranks(config, rank, on_a_host),
        spec(step_spec(config, model, ranks)),
        max(largest_microbatch(spec)) {
    if (spec.schedule) {
      chunks = build_chunks(spec);
    } else {
      whole = build_training_graph(spec);
    }
  }

  RankGraphs graphs() const {
    if (!spec.schedule) return {&whole.graph};
    RankGraphs result;
    for (const graph::Stage& chunk : chunks) result.push_back(&chunk.graph);
    return result;
  }

  Ranks ranks;
  StepSpec spec;
  graph::Bindings max;
  TrainingGraph whole;
  std::vector<graph::Stage> chunks;
};

class Planner {
 public:
  Planner(const TrainConfig& config, const kernels::KernelTable& table,
          const plan::Pricing& pricing)
      : config_(config), table_(table), pricing_(pricing) {
    config.validate_training();
    plan_.model = model_config(config);
    plan_.mesh = Mesh::standard(config.mesh.sizes());
    check_layout(config, plan_.model);
    plan_.parameters = models::parameter_count(plan_.model);
    plan_.tokens = config.train.batch * config.train.seq;
    for (int rank = 0; rank < plan_.mesh.size(); ++rank) {
      ranks_.emplace_back(config, plan_.model, rank, on_a_host());
    }
    const data::BatchShape shape = ranks_[0].ranks.batch_shape(config.train);
    plan_.microbatches = shape.rank_rows() / shape.microbatch;
    plan_.threads = ranks_[0].ranks.threads(config.run);
    // Rows are taken as one document each: the most that attention can have to do.
    for (int64_t row = 0; row <= shape.microbatch; ++row) {
      row_start_.push_back(static_cast<int32_t>(row * config.train.seq));
    }
    plan_.schedule = ranks_[0].spec.schedule.value_or(
        schedule::ready_to_run(schedule::one_f_one_b(1, static_cast<int>(plan_.microbatches))));
  }

  RunPlan plan() {
    plan_.machines = (plan_.mesh.size() + on_a_host() - 1) / on_a_host();
    plan_memory();
    if (plan_.machines > 1) {
      price(0);
      play();
      plan_.one_level_seconds = plan_.step_seconds();
    }
    price(static_cast<int>(config_.comm.node_ranks));
    list_variables();
    play();
    if (pricing_.timer != nullptr) plan_.timed_ops = pricing_.timer->distinct_ops();
    return std::move(plan_);
  }

 private:
  // Of a microbatch as it will be run.
  graph::Bindings bindings(const RankModel& rank) const {
    graph::Bindings bindings = rank.max;
    bindings[graph::Symbol::kSeqs] = static_cast<int64_t>(row_start_.size()) - 1;
    return bindings;
  }

  // Ranks of this run.
  int on_a_host() const {
    const int node = pricing_.network == nullptr ? 0 : pricing_.network->network.node_ranks;
    return node > 0 ? std::min(node, plan_.mesh.size()) : plan_.mesh.size();
  }

  int64_t arena_bytes(const graph::Graph& graph, const graph::Bindings& max) const {
    return passes::plan_memory(graph, {.max = max, .table = &table_, .threads = plan_.threads})
        .total_bytes();
  }

  PipelinePlan pipeline(const RankModel& rank, const std::vector<graph::Stage>& chunks,
                        const schedule::Schedule& schedule) const {
    return plan_pipeline({chunks, schedule, rank.ranks, rank.max, bindings(rank), row_start_,
                          table_, plan_.threads, rank.spec.optimistic,
                          static_cast<int>(config_.comm.node_ranks)});
  }

  void plan_memory() {
    std::vector<RankGraphs> graphs;
    for (const RankModel& rank : ranks_) graphs.push_back(rank.graphs());
    const StateLayout layout = state_layout(graphs);
    const SavePlan save = plan_save(layout, plan_.model, {.dtype = DType::kF32, .text_files = {}});
    for (const RankModel& rank : ranks_) {
      RankPlan& planned = plan_.ranks.emplace_back();
      add_model(rank, planned);
      MemoryPlan& memory = planned.memory;
      if (config_.sample.every > 0 && rank.ranks.first()) memory.add("sampling", sampling_bytes());
      memory.add("checkpoint", save_bytes(save, layout, rank.ranks.rank()));
      const bool keeps = rank.spec.schedule && rank.spec.optimistic;
      memory.add("batches",
                 (data::Loader::kAhead + (keeps ? 2 : 1)) *
                     data::BatchMaker::reserve(rank.ranks.batch_shape(config_.train)).bytes());
    }
  }

  // Variables, activations and validation, in the order in which the trainer adds them.
  void add_model(const RankModel& rank, RankPlan& planned) {
    MemoryPlan& memory = planned.memory;
    const bool validates = config_.valid.every > 0 && data::Dataset::has_valid(config_.data);
    passes::ShardedGraph valid;
    if (validates) {
      valid = validation_graph(plan_.model, config_.train.dtype, config_.train.master, rank.max,
                               {&rank.ranks, rank.spec.shard});
    }
    int64_t validation = 0;
    if (rank.spec.schedule) {
      const schedule::Schedule& schedule = *rank.spec.schedule;
      const schedule::Schedule forwards = schedule::forwards(schedule.stages);
      std::vector<graph::Stage> valid_chunks;
      if (validates) {
        valid_chunks = forward_chunks(valid, forwards.stages, rank.ranks.pipe_index());
        validation = pipeline(rank, valid_chunks, forwards).bytes;
      }
      for (size_t c = 0; c < rank.chunks.size(); ++c) {
        std::vector<const graph::Graph*> others;
        for (const graph::Stage& chunk : valid_chunks) {
          if (schedule.stages.chunk(0, chunk.index) == static_cast<int>(c)) {
            others.push_back(&chunk.graph);
          }
        }
        memory.plan_variables(rank.chunks[c].graph, others);
      }
      const PipelinePlan step = pipeline(rank, rank.chunks, schedule);
      planned.step.sent = step.sent;
      memory.add("activations", step.bytes);
      if (rank.spec.optimistic) memory.add("kept for rollback", step.updated_bytes);
    } else {
      const graph::Graph one = validates ? passes::fuse(valid.graph) : graph::Graph();
      std::vector<const graph::Graph*> others;
      if (validates) others.push_back(&one);
      memory.plan_variables(rank.whole.graph, others);
      memory.add("activations", arena_bytes(rank.whole.graph, rank.max));
      if (validates) validation = arena_bytes(one, rank.max);
    }
    if (!validates) return;
    data::BatchShape shape = validation_shape(rank.ranks.microbatch(config_.train), &rank.ranks);
    shape.seq = config_.train.seq;
    memory.add("validation", validation + data::BatchMaker::reserve(shape).bytes());
  }

  int64_t sampling_bytes() const {
    const data::TokenizerEncoder encoder =
        open_encoder(config_.data.tokenizer.empty() ? config_.model.from : config_.data.tokenizer);
    const auto prompt = static_cast<int64_t>(sample_prompt(encoder, config_.sample.prompt).size());
    const generate::ModelOptions options = sampling_options(config_, plan_.model, prompt);
    const graph::Graph graph = generate::build_serving_graph(plan_.model, options);
    int64_t bytes = arena_bytes(graph, generate::largest_step(options.limits));
    for (const graph::Variable& variable : graph.variables()) {
      if (variable.kind == graph::VariableKind::kCache) bytes += variable.bytes();
    }
    return bytes;
  }

  // node_ranks: of sums in two levels; 0: in one.
  void price(int node_ranks) {
    for (size_t i = 0; i < ranks_.size(); ++i) {
      const RankModel& rank = ranks_[i];
      RankPlan& planned = plan_.ranks[i];
      planned.chunks.clear();
      planned.gathered_once = 0;
      for (const graph::Graph* graph : rank.graphs()) {
        const graph::Bindings bound = bindings(rank);
        const plan::PricedRank of{.graph = *graph,
                                  .bindings = bound,
                                  .row_start = row_start_,
                                  .rank = rank.ranks.rank(),
                                  .ranks = plan_.mesh.size(),
                                  .node_ranks = node_ranks,
                                  .step = {.bytes = planned.memory.total(),
                                           .vocab = plan_.model.vocab,
                                           .accumulates = plan_.microbatches > 1}};
        planned.chunks.push_back(plan::graph_cost(of, pricing_));
        planned.gathered_once += plan::gathered_once_bytes(of);
      }
      plan::PhaseCost step;
      const auto index = static_cast<size_t>(rank.spec.schedule ? rank.ranks.pipe_index() : 0);
      for (const schedule::Instruction& each : plan_.schedule.ranks[index]) {
        for (const Phase phase : phases_of(each.kind)) {
          step += of(planned.chunks[static_cast<size_t>(each.chunk)], phase);
        }
      }
      for (const plan::GraphCost& chunk : planned.chunks) {
        for (const Phase phase : {Phase::kReduce, Phase::kNorm, Phase::kUpdate}) {
          step += of(chunk, phase);
        }
      }
      if (rank.spec.schedule) step.sent = planned.step.sent;  // with messages and copies
      planned.step = step;
    }
  }

  void list_variables() {
    for (const RankModel& rank : ranks_) {
      std::map<std::string, std::string> placements;
      const auto place = [&](const graph::Graph& graph, const std::vector<Placement>& where) {
        for (size_t i = 0; i < where.size(); ++i) {
          placements[graph.variables()[i].name] = where[i].str(plan_.mesh);
        }
      };
      if (rank.spec.schedule) {
        const passes::ShardedGraph sharded = build_sharded_graph(rank.spec);
        place(sharded.graph, sharded.variables);
      } else {
        place(rank.whole.graph, rank.whole.placements);
      }
      for (const graph::Graph* graph : rank.graphs()) add_variables(rank, *graph, placements);
    }
    list_tokens();
  }

  void add_variables(const RankModel& rank, const graph::Graph& graph,
                     const std::map<std::string, std::string>& placements) {
    for (const graph::VariableId id : runtime::stored_variables(graph)) {
      const graph::Variable& variable = graph.variable(id);
      auto found = std::ranges::find(plan_.variables, variable.name, &PlannedValue::name);
      const bool whole = variable.part.empty();
      if (found == plan_.variables.end()) {
        const auto placement = placements.find(variable.name);
        plan_.variables.push_back({variable.name, variable.dtype,
                                   whole ? variable.shape : variable.whole,
                                   placement == placements.end() ? "R" : placement->second,
                                   std::vector<std::vector<Part>>(ranks_.size())});
        found = plan_.variables.end() - 1;
      }
      found->parts[static_cast<size_t>(rank.ranks.rank())] = {
          whole ? whole_part(variable.shape.dims()) : variable.part};
    }
  }

  // Whole rows for data ranks, pieces of rows for context ranks.
  void list_tokens() {
    const TrainSection& train = config_.train;
    const int64_t dealt = train.batch / ranks_[0].ranks.data_ranks();
    const int context = plan_.mesh.size("context");
    const bool zigzag = config_.parallel.context == passes::ContextParallel::kZigzag;
    std::string placement;
    for (const char* axis : {"data", "expert"}) {
      if (plan_.mesh.size(axis) > 1) placement += fmt::format("{}=S(0) ", axis);
    }
    if (context > 1) placement += fmt::format("context=S(1){} ", zigzag ? " zigzag" : "");
    PlannedValue tokens{"tokens",
                        DType::kI32,
                        Shape{train.batch, train.seq},
                        placement.empty() ? "R" : placement.substr(0, placement.size() - 1),
                        {}};
    for (const RankModel& rank : ranks_) {
      const Ranks& ranks = rank.ranks;
      const Slice rows{ranks.data_rank() * dealt, dealt};
      std::vector<graph::RowRun> runs = {graph::RowRun{0, 0, train.seq}};
      if (context > 1) {
        runs = graph::context_runs({train.seq, zigzag}, context,
                                   plan_.mesh.coordinate(ranks.rank(), "context"), train.seq);
      }
      std::vector<Part> pieces;
      for (const graph::RowRun& run : runs) pieces.push_back({rows, {run.first, run.count}});
      tokens.parts.push_back(std::move(pieces));
    }
    plan_.variables.insert(plan_.variables.begin(), std::move(tokens));
  }

  // What the slowest rank takes that holds a stage: ranks wait for each other in every collective.
  // Each list stands for as many ranks as there are pipelines; they share the machine's cores.
  void play() {
    const schedule::StageMap& map = plan_.schedule.stages;
    schedule::Costs costs = schedule::uniform_costs(
        plan_.schedule, {.forward = 0, .backward = 0, .weight = 0, .message = message_bytes()});
    double reduce = 0, step = 0;
    for (size_t i = 0; i < ranks_.size(); ++i) {
      const int index = ranks_[i].spec.schedule ? ranks_[i].ranks.pipe_index() : 0;
      double update = 0;
      for (size_t c = 0; c < plan_.ranks[i].chunks.size(); ++c) {
        const plan::GraphCost& chunk = plan_.ranks[i].chunks[c];
        schedule::StageCost& stage =
            costs.stages[static_cast<size_t>(map.at(index, static_cast<int>(c)).stage)];
        stage.forward = std::max(stage.forward, of(chunk, Phase::kForward).seconds());
        stage.backward = std::max(stage.backward, of(chunk, Phase::kInputGrad).seconds());
        stage.weight = std::max(stage.weight, of(chunk, Phase::kWeightGrad).seconds());
        reduce = std::max(reduce, of(chunk, Phase::kReduce).seconds());
        update += of(chunk, Phase::kNorm).seconds() + of(chunk, Phase::kUpdate).seconds();
      }
      step = std::max(step, update);
    }
    const double at_once =
        std::max(1.0, static_cast<double>(cpu_info().logical_cores) / plan_.threads);
    plan_.processors = std::min(1.0, at_once / on_a_host());
    costs.processors = at_once * plan_.machines * map.ranks() / plan_.mesh.size();
    if (map.ranks() > 1) costs.link = link_of_stages();
    plan_.bubble = schedule::play(plan_.schedule, costs).bubble();
    // Sums are computed as well as sent: by ranks that share their cores, all of them at once.
    costs.reduce = reduce / plan_.processors;
    costs.step = step;
    plan_.timeline = schedule::play(plan_.schedule, costs);
  }

  // Stages follow each other in rank: some neighbours are on different machines where there are
  // several.
  sim::LinkSpec link_of_stages() const {
    const plan::MachineRates& rates = pricing_.rates;
    if (plan_.machines > 1) {
      return pricing_.network->network.across;
    }
    return {rates.message_latency, rates.message_bytes};
  }

  // Of an activation between stages: a row of the residual stream a token.
  int64_t message_bytes() const {
    const RankModel& rank = ranks_[0];
    const DType dtype = config_.train.master == Master::kNone ? config_.train.dtype : DType::kF32;
    return rank.max[graph::Symbol::kTokens] * plan_.model.width *
           static_cast<int64_t>(size_of(dtype)) / plan_.mesh.size("tensor");
  }

  const TrainConfig& config_;
  const kernels::KernelTable& table_;
  const plan::Pricing& pricing_;
  RunPlan plan_;
  std::deque<RankModel> ranks_;
  std::vector<int32_t> row_start_;  // of a microbatch
};

}  // namespace

void RunPlan::check_memory(int64_t cap) const {
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    ranks[rank].memory.check(cap, fmt::format("rank {}", rank));
  }
}

plan::RankWork rank_work(const TrainConfig& config, const models::DecoderConfig& model,
                         int on_a_host) {
  const Ranks ranks(config, 0, on_a_host);
  const int64_t tensor = ranks.mesh().size("tensor");
  return {.ranks = ranks.on_this_host(),
          .threads = ranks.threads(config.run),
          .dtype = config.train.dtype,
          .tokens = ranks.microbatch(config.train) * config.train.seq,
          .width = model.width,
          .ffn = std::max<int64_t>(1, model.ffn / tensor),
          .heads = std::max<int64_t>(1, model.heads / tensor),
          .head_dim = model.head_dim,
          .seq = config.train.seq};
}

RunPlan plan_run(const TrainConfig& config, const kernels::KernelTable& table,
                 const plan::Pricing& pricing) {
  return Planner(config, table, pricing).plan();
}

}  // namespace ashlar::train
