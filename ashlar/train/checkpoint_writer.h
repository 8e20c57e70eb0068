// Saves checkpoints while training goes on: save() copies what this rank writes in memory, and one
// thread, named "checkpoint", writes it. At most one save is under way. Ranks write into one folder
// aside, which rank 0 publishes when every part is there (checkpoint_parts.h); then the pointer
// file RUN/latest follows, and checkpoints that need not stay are removed.
#pragma once

#include "ashlar/base/atomic_file.h"
#include "ashlar/models/decoder_config.h"
#include "ashlar/train/checkpoint.h"
#include "ashlar/train/snapshot.h"

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace ashlar::train {

struct CheckpointPlan {
  std::string run_dir;
  models::DecoderConfig model;
  std::map<std::string, std::string> text_files;
  int64_t keep = 3;  // newest that stay; 0: all
  bool best = true;  // TrainerState::best_step stays too
  // Files of the run that must be on disk before a checkpoint of their steps is.
  std::vector<std::string> sync_first;
  double part_timeout_s = 600;  // how long rank 0 waits for what the others write
};

class CheckpointWriter {
 public:
  // All ranks of the job make one together (comm: null on one rank), and all save behind the same
  // steps. Store and communicator outlive it; the communicator is used by the constructor and
  // save() only, on the caller's thread. Only rank 0's plan says what is kept, and with what texts.
  CheckpointWriter(CheckpointPlan plan, const RankGraphs& graphs,
                   const runtime::VariableStore& store, comm::Communicator* comm = nullptr);
  ~CheckpointWriter();  // finishes the save under way
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  int64_t planned_bytes() const { return planned_bytes_; }  // that saves hold: save_bytes()

  // Returns once the state is copied. Waits for the save before it, and throws what that one met.
  void save(TrainerState state);
  // The run goes on from this checkpoint: does what a save that died behind its publication left
  // undone. Before any save().
  void resume_from(const TrainerState& state) const;
  bool busy();  // a save is under way
  // Throws what the save under way met; to be asked every step.
  void check();
  // Until the save under way is published; on other ranks than 0, until their parts are written.
  void wait();

 private:
  void run();
  void write();
  std::vector<formats::FileRecord> write_own(const std::string& folder) const;
  void publish(std::vector<formats::FileRecord> files);
  bool wait_for_parts(double& left_s);
  void point_latest(int64_t step) const;
  void remove_old(const TrainerState& state) const;
  void rethrow();

  CheckpointPlan plan_;
  comm::Communicator* comm_;
  int rank_ = 0, ranks_ = 1;
  bundle::SaveOptions options_;
  SavePlan save_plan_;
  std::optional<Snapshot> snapshot_;
  int64_t planned_bytes_ = 0;

  TrainerState state_;
  std::optional<AtomicDirectory> staging_;  // rank 0's
  std::string folder_;                      // its path, on every rank

  std::mutex mutex_;
  std::condition_variable changed_;
  bool busy_ = false, stop_ = false;
  std::exception_ptr failed_;
  std::thread thread_;
};

}  // namespace ashlar::train
