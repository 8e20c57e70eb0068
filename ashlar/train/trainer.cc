#include "ashlar/train/trainer.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/human.h"
#include "ashlar/base/log.h"
#include "ashlar/base/process_memory.h"
#include "ashlar/base/version.h"
#include "ashlar/comm/node_communicator.h"
#include "ashlar/data/loader.h"
#include "ashlar/schedule/generators.h"
#include "ashlar/schedule/play.h"
#include "ashlar/train/checkpoint_writer.h"
#include "ashlar/train/flops.h"
#include "ashlar/train/job_step.h"
#include "ashlar/train/learning_rate.h"
#include "ashlar/train/model_source.h"
#include "ashlar/train/pipeline_schedule.h"
#include "ashlar/train/pipeline_step.h"
#include "ashlar/train/run_folder.h"
#include "ashlar/train/run_start.h"
#include "ashlar/train/sampling.h"
#include "ashlar/train/save_interval.h"
#include "ashlar/train/step_profile.h"
#include "ashlar/train/training_step.h"
#include "ashlar/train/validation.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

namespace ashlar::train {
namespace {

// What cannot be split as asked is refused before any data are read.
ModelSource open_fitting_model(const TrainConfig& config) {
  ModelSource source = open_model_source(config);
  check_layout(config, source.config);
  return source;
}

class Run {
 public:
  Run(const TrainConfig& config, const TrainHooks& hooks, comm::Communicator* comm)
      : config_(config),
        hooks_(hooks),
        ranks_(config, comm),
        clock_(hooks.clock != nullptr ? *hooks.clock : steady_clock_),
        tier_(hooks.tier.value_or(best_isa_tier())),
        table_(kernels::kernel_table(tier_)),
        pool_(ranks_.threads(config.run), config.run.pin, ranks_.first_core(config.run)),
        source_(open_fitting_model(config)),
        masking_(masking_of(source_.config, source_.encoder, config.mask)),
        start_(find_start(config, tier_, comm)),
        train_data_(data::Dataset::open_train(config.data, config.train.seq, source_.encoder, pool_,
                                              masking_)) {
    if (config.valid.every > 0 && data::Dataset::has_valid(config.data)) {
      valid_data_.emplace(data::Dataset::open_valid(config.data, config.train.seq, source_.encoder,
                                                    pool_, masking_));
    }
    build_step();
    if (ranks_.first()) folder_.emplace(config_, start_.first_step());
    start_loader();
    start_writer();
    plan_memory();
    record();
  }

  TrainOutcome run();

 private:
  void build_step();
  void load(const graph::Graph& graph, runtime::VariableStore& store) const;
  void start_loader();
  void start_writer();
  void plan_memory();
  void record();

  const data::StepBatch& batch();
  const data::StepBatch* next_batch(int64_t step);
  StepMetrics step(int64_t step, const data::StepBatch& batch, double started);
  void validate(StepMetrics& metrics);
  void save(const StepMetrics& metrics);
  void tell_interval();
  void sample(int64_t step);
  schedule::InstructionList instructions() const;
  void show(Progress& progress, const StepMetrics& metrics) const;
  bool due(int64_t every, int64_t step) const { return every > 0 && step % every == 0; }

  const TrainConfig& config_;
  const TrainHooks& hooks_;
  Ranks ranks_;
  SteadyClock steady_clock_;
  const Clock& clock_;
  IsaTier tier_;
  const kernels::KernelTable& table_;
  ThreadPool pool_;
  ModelSource source_;
  std::optional<data::Masking> masking_;  // of an encoder
  RunStart start_;
  data::Dataset train_data_;
  std::optional<data::Dataset> valid_data_;
  std::optional<schedule::Schedule> schedule_;  // of a pipeline
  std::optional<ChunkStores> stores_;
  std::unique_ptr<OptimizerStep> step_;
  std::optional<Validation> validation_;
  std::optional<Sampling> sampling_;
  std::optional<RunFolder> folder_;
  std::optional<data::Loader> loader_;
  struct Ahead {
    const data::StepBatch* batch;
    data::LoaderState before;  // where the loader stood
  };
  std::optional<Ahead> ahead_;  // the next step's batch, which has begun
  bool profiled_ = false;       // this step or the next
  std::optional<CheckpointWriter> writer_;
  SaveInterval interval_{config_.checkpoint.every, start_.first_step()};
  double stall_s_ = 0;      // of the last save
  int64_t told_every_ = 0;  // in the log
  MemoryPlan memory_;
  JobStep job_step_{ranks_};
  bool stop_ = false;  // some rank was asked to
  double peak_flops_ = 0;
  TrainerState state_;
  std::optional<double> last_valid_;
};

// Parameters and moments that are not made anew.
void Run::load(const graph::Graph& graph, runtime::VariableStore& store) const {
  if (start_.resumes()) {
    load_checkpoint(start_.checkpoint, graph, store);
  } else if (source_.from) {
    load_parameters(*source_.from, graph, store);
  }
}

void Run::build_step() {
  const StepSpec spec = step_spec(config_, source_.config, ranks_);
  schedule_ = spec.schedule;
  const auto seed = static_cast<uint64_t>(config_.train.seed);
  const char* optimizer = config_.train.optimizer == Optimizer::kMuon ? "muon" : "adamw";
  if (start_.resumes()) check_same_training(start_, source_.config, optimizer);
  if (schedule_) {
    std::vector<graph::Stage> chunks = build_chunks(spec);
    stores_.emplace(seed, chunks.size());
    for (size_t c = 0; c < chunks.size(); ++c) load(chunks[c].graph, stores_->chunk(c));
    step_ =
        std::make_unique<PipelineStep>(std::move(chunks), spec, *stores_, table_, pool_, ranks_);
  } else {
    TrainingGraph training = build_training_graph(spec);
    stores_.emplace(seed);
    load(training.graph, stores_->whole());
    step_ = std::make_unique<TrainingStep>(std::move(training), spec, stores_->whole(), table_,
                                           pool_, &ranks_);
  }
  if (config_.train.dtype == DType::kF16 && start_.state.loss_scale) {
    step_->loss_scale().restore(
        {*start_.state.loss_scale, start_.state.loss_scale_good_steps, start_.state.skipped_steps});
  }
  if (valid_data_) {
    validation_.emplace(
        source_.config, config_.train.dtype, config_.train.master, *valid_data_,
        ranks_.microbatch(config_.train), stores_->whole(), table_, pool_,
        ValidationRanks{&ranks_, spec.shard, schedule_ ? &*schedule_ : nullptr, &*stores_});
  }
  if (config_.sample.every > 0 && ranks_.first()) {
    sampling_.emplace(source_, config_, stores_->whole(), table_, pool_);
  }
  state_ = start_.state;
  state_.optimizer = optimizer;
  state_.dtype = name(config_.train.dtype);
  state_.tier = name(tier_);
  state_.version = version();
  state_.config = config_.to_toml();
}

void Run::plan_memory() {
  const RankGraphs graphs = step_->graphs();
  for (size_t c = 0; c < graphs.size(); ++c) memory_.add_variables(*graphs[c], stores_->chunk(c));
  memory_.add("activations", step_->arena_bytes());
  memory_.add("kept for rollback", step_->kept_bytes());
  if (validation_) memory_.add("validation", validation_->planned_bytes());
  if (sampling_) memory_.add("sampling", sampling_->planned_bytes());
  memory_.add("checkpoint", writer_->planned_bytes());
  // An optimistic pipeline keeps its batch while the next one has begun.
  const bool keeps = schedule_ && config_.parallel.optimistic;
  memory_.add("batches",
              loader_->bytes() + (keeps ? loader_->bytes() / (data::Loader::kAhead + 1) : 0));
  log::info("event=memory planned=\"{}\" {}", human_bytes(static_cast<double>(memory_.total())),
            memory_.text());
  memory_.check(config_.run.memory, fmt::format("rank {}", ranks_.rank()));
}

void Run::record() {
  peak_flops_ = config_.run.peak_flops > 0
                    ? config_.run.peak_flops
                    : measure_peak(config_.train.dtype, tier_, pool_.threads(), clock_);
  const RunRecord record{.first_step = start_.first_step(),
                         .parameters = models::parameter_count(source_.config),
                         .memory = memory_,
                         .peak_flops = peak_flops_,
                         .tier = tier_,
                         .threads = pool_.threads()};
  if (!ranks_.first()) return;
  folder_->record(record);
  if (schedule_) {
    const auto played = schedule::play(*schedule_, schedule::uniform_costs(*schedule_));
    log::info("event=pipeline schedule={} stages={} microbatches={} bubble={:.0f}%",
              schedule_->name, schedule_->stages.stages(), schedule_->microbatches,
              100 * played.bubble());
    if (schedule_->microbatches < schedule_->stages.ranks()) {
      log::warn("event=pipeline_idle microbatches={} ranks={} fix=\"lower train.microbatch\"",
                schedule_->microbatches, schedule_->stages.ranks());
    }
  }
  log::info("event=train dir={} parameters={} tokens_a_step={} planned_bytes={} tier={} threads={}",
            config_.run.dir, record.parameters, config_.train.batch * config_.train.seq,
            memory_.total(), name(tier_), record.threads);
}

void Run::start_loader() {
  const data::BatchShape shape = ranks_.batch_shape(config_.train);
  const auto seed = static_cast<uint64_t>(config_.train.seed);
  if (start_.resumes()) {
    loader_.emplace(train_data_, shape, seed, start_.state.loader);
  } else {
    loader_.emplace(train_data_, shape, seed);
  }
}

void Run::start_writer() {
  CheckpointPlan plan{.run_dir = config_.run.dir,
                      .model = source_.config,
                      .text_files = source_.text_files,
                      .keep = config_.checkpoint.keep,
                      .best = config_.checkpoint.best,
                      .sync_first = {}};
  if (folder_) plan.sync_first = {folder_->path("metrics.jsonl"), folder_->path("samples.jsonl")};
  writer_.emplace(std::move(plan), step_->graphs(), stores_->whole(), ranks_.comm());
  if (start_.resumes()) writer_->resume_from(start_.state);
}

const data::StepBatch& Run::batch() {
  const std::optional<Ahead> ahead = std::exchange(ahead_, std::nullopt);
  return ahead ? *ahead->batch : loader_->next();
}

// Nothing may come between the two steps that looks at the weights.
const data::StepBatch* Run::next_batch(int64_t step) {
  const int64_t save = config_.checkpoint.every;
  const bool looks = due(config_.valid.every, step) || due(config_.sample.every, step) ||
                     due(save, step) || save == CheckpointSection::kAuto;
  if (looks || profiled_ || step == config_.train.steps) return nullptr;
  data::LoaderState before = loader_->state();
  ahead_ = {&loader_->next(), std::move(before)};
  return ahead_->batch;
}

StepMetrics Run::step(int64_t step, const data::StepBatch& batch, double started) {
  job_step_.begin();
  const double lr = LearningRate::of(config_.train).at(step);
  const double flops = step_->flops(batch);  // the batch may be gone behind the step
  const double epoch = batch.epoch;
  const StepResult result = step_->run(batch, static_cast<uint64_t>(config_.train.seed), step, lr);
  const double seconds = std::max(clock_.now() - started, 1e-9);
  const int64_t tokens = config_.train.batch * config_.train.seq;
  state_.step = step;
  state_.tokens += tokens;
  StepMetrics metrics;
  metrics.step = step;
  metrics.loss = result.loss;
  metrics.aux_loss = result.aux_loss;
  metrics.grad_norm = result.grad_norm;
  if (config_.train.dtype == DType::kF16) {
    metrics.loss_scale = result.loss_scale;
    metrics.skipped = result.skipped;
    state_.loss_scale = step_->loss_scale().scale();
    state_.loss_scale_good_steps = step_->loss_scale().state().good_steps;
    state_.skipped_steps = step_->loss_scale().state().skipped;
    if (result.skipped) {
      log::warn(
          "event=step_skipped step={} reason=\"gradients overflow f16\" loss_scale={} next={}",
          step, result.loss_scale, *state_.loss_scale);
    }
  }
  metrics.lr = lr;
  metrics.tokens = state_.tokens;
  metrics.epoch = epoch;
  const JobStep::Mine mine{.flops = flops,
                           .peak_flops = peak_flops_,
                           .seconds = seconds,
                           .stop = hooks_.stop && hooks_.stop(),
                           .stall_s = std::exchange(stall_s_, 0),
                           .writing = writer_->busy()};
  const JobStep::Answer answer = job_step_.finish(mine, metrics, tokens);
  stop_ = answer.stop;
  interval_.observe({metrics.step_ms / 1e3, answer.stall_s, answer.writing});
  return metrics;
}

void Run::validate(StepMetrics& metrics) {
  state_.valid_loss.reset();
  if (!validation_) return;
  if (due(config_.valid.every, metrics.step) || metrics.step == config_.train.steps) {
    last_valid_ = validation_->run(config_.valid.batches).mean();
    state_.valid_loss = metrics.valid_loss = last_valid_;
  }
  if (metrics.step == 1) metrics.valid_loss_start = state_.valid_loss_start;
}

void Run::save(const StepMetrics& metrics) {
  state_.loader = ahead_ ? ahead_->before : loader_->state();
  if (metrics.valid_loss &&
      (!state_.best_valid_loss || *metrics.valid_loss < *state_.best_valid_loss)) {
    state_.best_valid_loss = metrics.valid_loss;
    state_.best_step = metrics.step;
  }
  const double started = clock_.now();
  writer_->save(state_);
  stall_s_ = clock_.now() - started;
}

// Says what the interval of saves is, and when it has become quite another.
void Run::tell_interval() {
  const auto& decided = interval_.decision();
  if (!decided || !ranks_.first()) return;
  if (4 * std::abs(decided->every - told_every_) <= told_every_) return;
  told_every_ = decided->every;
  log::info(
      "event=checkpoint_interval every={} step_ms={:.1f} stall_ms={:.1f} slowed_ms={:.1f} "
      "write_ms={:.1f} overhead={:.2f}%",
      decided->every, 1e3 * decided->step_s, 1e3 * decided->stall_s, 1e3 * decided->slowed_s,
      1e3 * decided->write_s, 100 * decided->overhead());
}

void Run::sample(int64_t step) {
  const std::string text = sampling_->run(step);
  folder_->write_sample(step, text);
  log::info("event=sample step={} text={:?}", step, text);
}

// The instructions of this rank: of its stages, or of the whole model.
schedule::InstructionList Run::instructions() const {
  if (schedule_) {
    return schedule_->ranks[static_cast<size_t>(ranks_.pipe_index())];
  }
  const data::BatchShape& shape = loader_->maker().shape();
  const auto microbatches = static_cast<int>(shape.rank_rows() / shape.microbatch);
  return schedule::one_f_one_b(1, microbatches).ranks[0];
}

void Run::show(Progress& progress, const StepMetrics& metrics) const {
  std::vector<ProgressField> fields = {{"loss", fmt::format("{:.4f}", metrics.loss)},
                                       {"tokens/s", fmt::format("{:.0f}", metrics.tokens_per_s)},
                                       {"mfu", fmt::format("{:.1f}%", 100 * metrics.mfu)}};
  if (last_valid_) fields.push_back({"valid", fmt::format("{:.4f}", *last_valid_)});
  for (const auto& [axis, share] : metrics.comm_share) {
    fields.push_back({axis, fmt::format("{:.0f}%", 100 * share)});
  }
  if (metrics.slowest_rank) fields.push_back({"slowest", fmt::format("{}", *metrics.slowest_rank)});
  if (metrics.aux_loss > 0) fields.push_back({"balance", fmt::format("{:.2f}", metrics.aux_loss)});
  fields.push_back({"lr", fmt::format("{:.2e}", metrics.lr)});
  progress.update(metrics.step, std::move(fields));
}

TrainOutcome Run::run() {
  TrainOutcome outcome;
  outcome.first_step = start_.first_step();
  outcome.last_step = start_.state.step;
  outcome.checkpoint = start_.checkpoint;
  const int64_t steps = config_.train.steps;
  if (outcome.first_step > steps) {
    log::info("event=train_done step={} train.steps={} note=\"nothing left to do\"",
              outcome.last_step, steps);
  }
  if (validation_ && outcome.first_step == 1) {
    last_valid_ = validation_->run(config_.valid.batches).mean();
    state_.valid_loss_start = last_valid_;
  }
  outcome.valid_loss_start = state_.valid_loss_start;
  outcome.valid_loss = state_.valid_loss;

  std::optional<Progress> shown;  // by the first rank
  if (ranks_.first()) {
    shown.emplace("train", "step", steps, clock_,
                  hooks_.progress ? *hooks_.progress : stderr_progress_sink(), outcome.last_step);
  }
  if (hooks_.ready) hooks_.ready();
  step_->look_ahead([this](int64_t step) { return next_batch(step); });
  StepProfile profile(config_, outcome.first_step, clock_, ranks_, *step_);
  const schedule::InstructionList list = instructions();
  const double begin = clock_.now();
  const int64_t tokens_before = state_.tokens;
  double mfu_sum = 0;
  for (int64_t step = outcome.first_step; step <= steps && !outcome.interrupted; ++step) {
    writer_->check();
    profile.begin(step);
    const double started = clock_.now();
    profiled_ = profile.takes(step) || profile.takes(step + 1);
    StepMetrics metrics = this->step(step, batch(), started);
    if (const auto timeline = profile.end(step, list); timeline && folder_) {
      write_file(folder_->path("timeline.json"), *timeline, "timeline");
    }
    outcome.interrupted = stop_;
    if (stop_) step_->forget_next();
    tell_interval();
    validate(metrics);
    if (ranks_.first()) folder_->write(metrics);
    if (sampling_ && due(config_.sample.every, step)) sample(step);
    if (shown) show(*shown, metrics);
    if (interval_.due(step) || step == steps || outcome.interrupted) {
      save(metrics);
      outcome.checkpoint = checkpoint_folder(config_.run.dir, step);
    }
    if (hooks_.on_step) hooks_.on_step(metrics);
    outcome.last_step = step;
    outcome.loss = metrics.loss;
    if (metrics.valid_loss) outcome.valid_loss = metrics.valid_loss;
    mfu_sum += metrics.mfu;
  }
  profile.finish();
  writer_->wait();
  if (shown) shown->finish();
  outcome.seconds = clock_.now() - begin;
  const auto done = static_cast<double>(outcome.last_step - outcome.first_step + 1);
  outcome.tokens_per_s = static_cast<double>(state_.tokens - tokens_before) / outcome.seconds;
  outcome.mfu = done > 0 ? mfu_sum / done : 0;
  outcome.planned_bytes = memory_.total();
  outcome.peak_bytes = peak_resident_bytes();
  if (outcome.interrupted) {
    log::warn("event=interrupted step={} checkpoint={} fix=\"go on with --resume\"",
              outcome.last_step, outcome.checkpoint);
  }
  return outcome;
}

}  // namespace

TrainOutcome train(const TrainConfig& config, const TrainHooks& hooks, comm::Communicator* comm) {
  config.validate();
  if (comm == nullptr) return Run(config, hooks, nullptr).run();
  comm::NodeCommunicator nodes(*comm, static_cast<int>(config.comm.node_ranks));
  return Run(config, hooks, &nodes).run();
}

}  // namespace ashlar::train
