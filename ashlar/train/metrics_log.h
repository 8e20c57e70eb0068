// metrics.jsonl: one JSON object a step. A line is handed to the system as soon as it is whole, and
// synced before a checkpoint is published. At a resume lines past the checkpoint and a torn last
// line are cut, so that the file reads as if nothing had happened.
#pragma once

#include "ashlar/base/file_writer.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::train {

// One step as metrics.jsonl has it.
struct StepMetrics {
  int64_t step = 0;
  double loss = 0;       // mean cross-entropy of the counted tokens of the global batch
  double aux_loss = 0;   // balance of the experts' load (graph/ops/moe_load.h); no experts: 0
  double grad_norm = 0;  // before clipping; not finite where the step was skipped
  double lr = 0;
  int64_t tokens = 0;  // trained on since step 1, this step's included
  double epoch = 0;
  double tokens_per_s = 0, mfu = 0, step_ms = 0;
  std::optional<double> loss_scale;  // of f16
  bool skipped = false;              // its gradients overflowed, nothing was updated
  std::optional<double> valid_loss;
  std::optional<double> valid_loss_start;  // in step 1: before anything was learnt
  // Of several ranks, by axis: the share of the step that they waited for others, and the bytes
  // that all of them sent; and which one computed longest.
  std::map<std::string, double> comm_share = {};
  std::map<std::string, int64_t> comm_bytes = {};
  std::optional<int> slowest_rank;

  std::string to_json() const;
};

// Throws Error with file and line for a line that is no step.
std::vector<StepMetrics> read_metrics(const std::string& path);

// A JSON-lines file of a run: one object a step, each with "step".
class StepLog {
 public:
  // Keeps what is there up to `last_step` (0: nothing).
  StepLog(const std::string& path, int64_t last_step);

  void write(const std::string& json);
  const std::string& path() const { return file_.path(); }

 private:
  FileWriter file_;
};

}  // namespace ashlar::train
