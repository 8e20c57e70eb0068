// The door to training: opens model and data as the configuration names them, trains from step 1 or
// from the newest whole checkpoint of run.dir, and leaves a run folder behind (run_folder.h).
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/base/cpu.h"
#include "ashlar/base/progress.h"
#include "ashlar/base/thread_pool.h"
#include "ashlar/runtime/variable_store.h"
#include "ashlar/train/config.h"

#include <functional>
#include <limits>
#include <optional>
#include <string>

namespace ashlar::bundle {
class Bundle;
}

namespace ashlar::train {

// One step as metrics.jsonl has it.
struct StepMetrics {
  int64_t step = 0;
  double loss = 0;  // mean cross-entropy of the counted tokens of the global batch
  double aux_loss = 0;
  double grad_norm = 0;  // before clipping
  double lr = 0;
  int64_t tokens = 0;  // trained on since step 1, this step's included
  double epoch = 0;
  double tokens_per_s = 0, mfu = 0, step_ms = 0;
  std::optional<double> valid_loss;
  std::optional<double> valid_loss_start;  // in step 1: before anything was learnt
};

// What a sampler is given while training: weights as they are at this step.
struct SampleRequest {
  const bundle::Bundle& model;
  runtime::VariableStore& weights;
  ThreadPool& pool;
  IsaTier tier;
  const SampleSection& config;
  int64_t step;
};

struct TrainHooks {
  // Asked between steps; true: save, stop, outcome.interrupted.
  std::function<bool()> stop;
  // Text to show and to keep in samples.jsonl; empty function: no samples.
  std::function<std::string(const SampleRequest&)> sample;
  std::function<void(const StepMetrics&)> on_step;
  const Clock* clock = nullptr;          // null: the steady clock
  std::optional<ProgressSink> progress;  // none: standard error
  std::optional<IsaTier> tier;           // none: the fastest that runs here
};

struct TrainOutcome {
  int64_t first_step = 1, last_step = 0;
  bool interrupted = false;                                // exit code 130
  double loss = std::numeric_limits<double>::quiet_NaN();  // of the last step
  std::optional<double> valid_loss_start, valid_loss;
  double seconds = 0, tokens_per_s = 0, mfu = 0;
  std::string checkpoint;  // the folder saved last: a model like any other
  int exit_code() const { return interrupted ? 130 : 0; }
};

// Throws UsageError for configuration, Error for data, files, a loss that is not finite.
TrainOutcome train(const TrainConfig& config, const TrainHooks& hooks = {});

}  // namespace ashlar::train
