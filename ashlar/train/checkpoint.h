// Checkpoints of a run: folders checkpoints/step-N that are Hugging Face models, with what training
// needs to go on in state/ (moments: moment_files.h; the rest in trainer.json). Written aside,
// synced, renamed; MANIFEST.json, written last, finds the one that is torn. Whatever layout of
// ranks wrote one, any other goes on from it.
#pragma once

#include "ashlar/comm/communicator.h"
#include "ashlar/data/loader_state.h"
#include "ashlar/graph/graph.h"
#include "ashlar/runtime/variable_store.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::train {

// What a checkpoint holds besides model and moments.
inline constexpr const char* kTrainerState = "state/trainer.json";

// Content of kTrainerState.
struct TrainerState {
  int64_t step = 0;  // done
  uint64_t seed = 0;
  int64_t tokens = 0;  // trained on
  data::LoaderState loader;
  std::optional<double> valid_loss;  // at this step
  std::optional<double> valid_loss_start;
  std::optional<int64_t> best_step;  // of lowest validation loss so far
  std::optional<double> best_valid_loss;
  std::optional<double> loss_scale;  // of f16
  int64_t loss_scale_good_steps = 0, skipped_steps = 0;
  std::string optimizer, dtype, tier, version;
  std::string config;  // TOML

  std::string to_json() const;
  static TrainerState from_json(const std::string& text, const std::string& source);
};

// Where the checkpoints of a run folder lie.
std::string checkpoints_folder(const std::string& run_dir);
std::string checkpoint_folder(const std::string& run_dir, int64_t step);
std::vector<int64_t> list_checkpoints(const std::string& run_dir);  // steps, ascending

// The newest whole checkpoint; one line in the log for each torn one that is passed over. Of many
// ranks, rank 0 looks and tells the others.
std::optional<int64_t> find_checkpoint(const std::string& run_dir,
                                       comm::Communicator* comm = nullptr);

TrainerState read_trainer_state(const std::string& folder);
// Parameters and moments of `graph`, or a rank's parts of them, into the store. Throws Error naming
// the tensor that is missing or of another shape. Returns how many bytes of tensors were read.
int64_t load_checkpoint(const std::string& folder, const graph::Graph& graph,
                        runtime::VariableStore& store);

}  // namespace ashlar::train
