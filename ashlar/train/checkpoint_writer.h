// Saves checkpoints while training goes on: save() copies parameters and moments in memory, and one
// thread, named "checkpoint", writes them. At most one save is under way. When it is published, the
// pointer file RUN/latest follows, and checkpoints that need not stay are removed.
#pragma once

#include "ashlar/graph/graph.h"
#include "ashlar/models/decoder_config.h"
#include "ashlar/runtime/variable_store.h"
#include "ashlar/tensor/tensor.h"
#include "ashlar/train/checkpoint.h"

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
};

class CheckpointWriter {
 public:
  // The graph and the store outlive the writer.
  CheckpointWriter(CheckpointPlan plan, const graph::Graph& graph,
                   const runtime::VariableStore& store);
  ~CheckpointWriter();  // finishes the save under way
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // What saves hold in memory: the copy, and the tensors in the making as the file wants them.
  int64_t planned_bytes() const;

  // Returns once the state is copied. Waits for the save before it, and throws what that one met.
  void save(TrainerState state);
  // The run goes on from this checkpoint: does what a save that died behind its publication left
  // undone. Before any save().
  void resume_from(const TrainerState& state) const;
  // Throws what the save under way met; to be asked every step.
  void check();
  // Until the save under way is published.
  void wait();

 private:
  void run();
  void write() const;
  void point_latest(int64_t step) const;
  void remove_old(const TrainerState& state) const;
  void rethrow();

  CheckpointPlan plan_;
  const graph::Graph& graph_;
  const runtime::VariableStore& store_;

  TrainerState state_;
  std::map<std::string, Tensor> snapshot_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool busy_ = false, stop_ = false;
  std::exception_ptr failed_;
  std::thread thread_;
};

}  // namespace ashlar::train
