// A run small enough to be started hundreds of times: a two-layer model, a page of text, the
// fixtures' tokenizer.
#pragma once

#include "ashlar/train/trainer.h"
#include "tests/base/temp_dir.h"

#include <functional>
#include <string>
#include <vector>

namespace ashlar::train::testing {

class TinyRun {
 public:
  TinyRun();

  // Ten steps in run folder `name`, a checkpoint every fifth.
  TrainConfig config(const std::string& name) const;
  std::string path(std::string_view name) const { return dir_.path(name); }

 private:
  ashlar::testing::TempDir dir_{ashlar::testing::quick_folder()};
};

std::string fixture(const std::string& model);  // tests/fixtures/models/...

// Shows nothing.
TrainHooks quiet();
TrainOutcome run(const TrainConfig& config);
TrainOutcome resume(TrainConfig config);

// What is logged meanwhile.
std::string log_of(const std::function<void()>& body);

// What must be the same in two runs of the same training: all of metrics.jsonl but times, one
// string a step, floating-point numbers to their last bit.
std::vector<std::string> learning_log(const std::string& run_dir);
// Content of the files of the newest checkpoint that hold learnt numbers.
std::string learnt_bytes(const std::string& run_dir);

}  // namespace ashlar::train::testing
