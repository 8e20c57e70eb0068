// Hands out the batches of a training run, step after step. One thread, named "loader", makes them
// ahead of time, so that the training loop does not wait; the buffers go round, so that after the
// first turn nothing is allocated. Batch and ranks may change at a resume; the rows go on in their
// order.
#pragma once

#include "ashlar/data/dataset.h"
#include "ashlar/data/loader_state.h"

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace ashlar::data {

class Loader {
 public:
  static constexpr int kAhead = 2;  // steps made before they are asked for

  // From the start. The data must outlive the loader.
  Loader(const Dataset& data, const BatchShape& shape, uint64_t seed);
  // From where a checkpoint stands; refuses another seed and other data.
  Loader(const Dataset& data, const BatchShape& shape, uint64_t seed, const LoaderState& resume);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // The batch of the next step; it lives until the next call. Throws what making it threw.
  const StepBatch& next();

  // Resumes behind the batch that next() gave last.
  LoaderState state() const;

  const BatchMaker& maker() const { return maker_; }
  int64_t bytes() const { return bytes_; }  // of its buffers

 private:
  void run();

  BatchMaker maker_;
  uint64_t seed_, data_;
  int64_t first_row_;       // of the first batch
  int64_t handed_out_ = 0;  // steps that next() gave

  // A ring: step i lies in slot i % slots. next() holds one, the thread fills the others.
  std::vector<StepBatch> slots_;
  int64_t bytes_ = 0;
  std::mutex mutex_;
  std::condition_variable made_more_, freed_;
  int64_t made_ = 0, freed_up_to_ = 0;
  bool stop_ = false;
  std::exception_ptr failed_;
  std::thread thread_;
};

}  // namespace ashlar::data
