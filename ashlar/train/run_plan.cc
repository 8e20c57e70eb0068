#include "ashlar/train/run_plan.h"

#include "ashlar/data/loader.h"
#include "ashlar/graph/context_rows.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/runtime/stored_variables.h"
#include "ashlar/schedule/communication.h"
#include "ashlar/schedule/generators.h"
#include "ashlar/schedule/play.h"
#include "ashlar/train/model_source.h"
#include "ashlar/train/sampling.h"
#include "ashlar/train/save_plan.h"
#include "ashlar/train/training_step.h"
#include "ashlar/train/validation.h"

#include <fmt/format.h>

#include <algorithm>

namespace ashlar::train {
namespace {

using graph::Phase;

const plan::PhaseCost& of(const plan::GraphCost& cost, Phase phase) {
  return cost[static_cast<size_t>(phase)];
}

// Once a microbatch, or once a step.
int64_t runs(Phase phase, int64_t microbatches) {
  return phase < Phase::kReduce ? microbatches : 1;
}

class Planner {
 public:
  Planner(const TrainConfig& config, const kernels::KernelTable& table)
      : config_(config), table_(table) {
    config.validate_training();
    plan_.model = model_config(config);
    plan_.mesh = Mesh::standard(config.mesh.sizes());
    check_layout(config, plan_.model);
    plan_.parameters = models::parameter_count(plan_.model);
    plan_.tokens = config.train.batch * config.train.seq;
    for (int rank = 0; rank < plan_.mesh.size(); ++rank) {
      ranks_.emplace_back(config, rank);
      // Documents that must not see each other are sequences of their own; how many there are does
      // not change what values take.
      specs_.push_back(step_spec(config, plan_.model, ranks_.back(),
                                 ranks_.back().microbatch(config.train) * config.train.seq));
      training_.push_back(build_training_graph(specs_.back()));
    }
    const data::BatchShape shape = batch_shape(ranks_[0]);
    plan_.microbatches = shape.rank_rows() / shape.microbatch;
    plan_.threads = ranks_[0].threads(config.run);
  }

  RunPlan plan(const plan::MachineRates& rates) {
    plan_memory();
    price(rates);
    list_variables();
    play();
    return std::move(plan_);
  }

 private:
  data::BatchShape batch_shape(const Ranks& ranks) const {
    return {.batch = config_.train.batch,
            .microbatch = ranks.microbatch(config_.train),
            .rank = ranks.data_rank(),
            .ranks = ranks.data_ranks(),
            .seq = config_.train.seq};
  }

  int64_t arena_bytes(const graph::Graph& graph, const graph::Bindings& max) const {
    return passes::plan_memory(graph, {.max = max, .table = &table_, .threads = plan_.threads})
        .total_bytes();
  }

  // The parts in the order in which the trainer adds them.
  void plan_memory() {
    std::vector<RankGraphs> graphs;
    for (const TrainingGraph& training : training_) graphs.push_back({&training.graph});
    const StateLayout layout = state_layout(graphs);
    const SavePlan save = plan_save(layout, plan_.model, {.dtype = DType::kF32, .text_files = {}});
    const bool validates = config_.valid.every > 0 && data::Dataset::has_valid(config_.data);
    for (size_t rank = 0; rank < ranks_.size(); ++rank) {
      const graph::Graph& graph = training_[rank].graph;
      const graph::Bindings max = largest_microbatch(specs_[rank]);
      MemoryPlan memory;
      if (!validates) {
        memory.plan_variables(graph, {});
        memory.add("activations", arena_bytes(graph, max));
      } else {
        const ValidationRanks over{&ranks_[rank], specs_[rank].shard};
        const graph::Graph valid = passes::fuse(
            validation_graph(plan_.model, config_.train.dtype, config_.train.master, max, over)
                .graph);
        memory.plan_variables(graph, {&valid});
        memory.add("activations", arena_bytes(graph, max));
        data::BatchShape shape =
            validation_shape(ranks_[rank].microbatch(config_.train), &ranks_[rank]);
        shape.seq = config_.train.seq;
        memory.add("validation",
                   arena_bytes(valid, max) + data::BatchMaker::reserve(shape).bytes());
      }
      if (config_.sample.every > 0 && rank == 0) memory.add("sampling", sampling_bytes());
      memory.add("checkpoint", save_bytes(save, layout, static_cast<int>(rank)));
      memory.add("batches", (data::Loader::kAhead + 1) *
                                data::BatchMaker::reserve(batch_shape(ranks_[rank])).bytes());
      plan_.ranks.push_back({std::move(memory), {}, {}});
    }
  }

  int64_t sampling_bytes() const {
    const data::TokenizerEncoder encoder = data::TokenizerEncoder::open(
        config_.data.tokenizer.empty() ? config_.model.from : config_.data.tokenizer);
    const auto prompt = static_cast<int64_t>(sample_prompt(encoder, config_.sample.prompt).size());
    const generate::ModelOptions options = sampling_options(config_, plan_.model, prompt);
    const graph::Graph graph = generate::build_serving_graph(plan_.model, options);
    int64_t bytes = arena_bytes(graph, generate::largest_step(options.limits));
    for (const graph::Variable& variable : graph.variables()) {
      if (variable.kind == graph::VariableKind::kCache) bytes += variable.bytes();
    }
    return bytes;
  }

  // Rows are taken as one document each: the most that attention can have to do.
  void price(const plan::MachineRates& rates) {
    const int64_t rows = ranks_[0].microbatch(config_.train);
    std::vector<int32_t> row_start;
    for (int64_t row = 0; row <= rows; ++row) {
      row_start.push_back(static_cast<int32_t>(row * config_.train.seq));
    }
    for (size_t rank = 0; rank < ranks_.size(); ++rank) {
      RankPlan& planned = plan_.ranks[rank];
      graph::Bindings bindings = largest_microbatch(specs_[rank]);
      bindings[graph::Symbol::kSeqs] = rows;
      planned.microbatch = plan::graph_cost(training_[rank].graph, bindings, row_start,
                                            static_cast<int>(rank), plan_.mesh.size(), rates);
      for (const Phase phase : graph::kPhases) {
        for (int64_t i = 0; i < runs(phase, plan_.microbatches); ++i) {
          planned.step += of(planned.microbatch, phase);
        }
      }
    }
  }

  void list_variables() {
    for (size_t rank = 0; rank < ranks_.size(); ++rank) {
      const TrainingGraph& training = training_[rank];
      for (const graph::VariableId id : runtime::stored_variables(training.graph)) {
        const graph::Variable& variable = training.graph.variable(id);
        auto found = std::ranges::find(plan_.variables, variable.name, &PlannedVariable::name);
        const bool whole = variable.part.empty();
        if (found == plan_.variables.end()) {
          plan_.variables.push_back({variable.name, variable.dtype,
                                     whole ? variable.shape : variable.whole, "R",
                                     std::vector<std::vector<Part>>(ranks_.size())});
          found = plan_.variables.end() - 1;
          if (!training.placements.empty()) {
            found->placement = training.placements[static_cast<size_t>(id.index)].str(plan_.mesh);
          }
        }
        found->parts[rank] = {whole ? whole_part(variable.shape.dims()) : variable.part};
      }
    }
    list_tokens();
  }

  // Whole rows for data ranks, pieces of rows for context ranks.
  void list_tokens() {
    const TrainSection& train = config_.train;
    const int64_t dealt = train.batch / ranks_[0].data_ranks();
    const int context = plan_.mesh.size("context");
    const bool zigzag = config_.parallel.context == passes::ContextParallel::kZigzag;
    std::string placement;
    for (const char* axis : {"data", "expert"}) {
      if (plan_.mesh.size(axis) > 1) placement += fmt::format("{}=S(0) ", axis);
    }
    if (context > 1) placement += fmt::format("context=S(1){} ", zigzag ? " zigzag" : "");
    PlannedVariable tokens{"tokens",
                           DType::kI32,
                           Shape{train.batch, train.seq},
                           placement.empty() ? "R" : placement.substr(0, placement.size() - 1),
                           {}};
    for (const Ranks& ranks : ranks_) {
      const Slice rows{ranks.data_rank() * dealt, dealt};
      std::vector<graph::RowRun> runs = {{0, train.seq}};
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

  // The slowest rank sets the pace of all: they wait for it in every collective.
  void play() {
    const auto slowest = [&](Phase phase) {
      double seconds = 0;
      for (const RankPlan& rank : plan_.ranks) {
        seconds = std::max(seconds, of(rank.microbatch, phase).seconds());
      }
      return seconds;
    };
    const schedule::Schedule list = schedule::one_f_one_b(1, static_cast<int>(plan_.microbatches));
    schedule::Costs costs = schedule::uniform_costs(list, {.forward = slowest(Phase::kForward),
                                                           .backward = slowest(Phase::kInputGrad),
                                                           .weight = slowest(Phase::kWeightGrad)});
    plan_.bubble = schedule::play(list, costs).bubble();
    costs.reduce = slowest(Phase::kReduce);
    costs.step = slowest(Phase::kNorm) + slowest(Phase::kUpdate);
    plan_.schedule = schedule::ready_to_run(list);
    plan_.timeline = schedule::play(plan_.schedule, costs);
  }

  const TrainConfig& config_;
  const kernels::KernelTable& table_;
  RunPlan plan_;
  std::vector<Ranks> ranks_;
  std::vector<StepSpec> specs_;
  std::vector<TrainingGraph> training_;
};

}  // namespace

RunPlan plan_run(const TrainConfig& config, const kernels::KernelTable& table,
                 const plan::MachineRates& rates) {
  return Planner(config, table).plan(rates);
}

}  // namespace ashlar::train
