// The door to training: opens model and data as the configuration names them, trains from step 1 or
// from the newest whole checkpoint of run.dir, and leaves a run folder behind (run_folder.h).
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/base/cpu.h"
#include "ashlar/base/progress.h"
#include "ashlar/comm/communicator.h"
#include "ashlar/train/config.h"
#include "ashlar/train/metrics_log.h"

#include <functional>
#include <limits>
#include <optional>
#include <string>

namespace ashlar::train {

struct TrainHooks {
  // Called by each rank when its data and model are there, before the first step: until then
  // nothing can be lost.
  std::function<void()> ready;
  // Asked between steps; true: save, stop, outcome.interrupted.
  std::function<bool()> stop;
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
  int64_t planned_bytes = 0, peak_bytes = 0;  // of memory; peak: of the whole process
  std::string checkpoint;                     // the folder saved last: a model like any other
  int exit_code() const { return interrupted ? 130 : 0; }
};

// Throws UsageError for configuration, Error for data, files, a loss that is not finite. comm: this
// rank's, of a job as large as the configuration's mesh; all ranks call it with the same
// configuration. The first rank keeps the run folder and shows progress.
TrainOutcome train(const TrainConfig& config, const TrainHooks& hooks = {},
                   comm::Communicator* comm = nullptr);

}  // namespace ashlar::train
