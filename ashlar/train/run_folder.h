// What a run leaves in run.dir: config.toml (resolved), record.jsonl (version and machine, a line a
// start), metrics.jsonl and samples.jsonl, tensorboard/, checkpoints/ and latest.
#pragma once

#include "ashlar/base/isa_tier.h"
#include "ashlar/formats/tensorboard.h"
#include "ashlar/train/config.h"
#include "ashlar/train/memory_plan.h"
#include "ashlar/train/metrics_log.h"

#include <cstdint>
#include <optional>
#include <string>

namespace ashlar::train {

// One line of record.jsonl.
struct RunRecord {
  int64_t first_step = 1;
  int64_t parameters = 0;
  MemoryPlan memory;
  double peak_flops = 0;
  IsaTier tier = IsaTier::kScalar;
  int threads = 1;

  std::string to_json() const;  // with version, machine and time
};

class RunFolder {
 public:
  // Makes the folder, or goes on in one that is there. Throws Error when it holds checkpoints and
  // the run does not resume.
  RunFolder(const TrainConfig& config, int64_t first_step);

  void record(const RunRecord& record);
  void write(const StepMetrics& step);
  void write_sample(int64_t step, const std::string& text);

  std::string path(std::string_view name) const;

 private:
  std::string dir_;
  StepLog metrics_, samples_;
  std::optional<formats::EventWriter> events_;
};

}  // namespace ashlar::train
