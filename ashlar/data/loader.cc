#include "ashlar/data/loader.h"

#include "ashlar/base/error.h"

#include <pthread.h>

namespace ashlar::data {

Loader::Loader(const Dataset& data, const BatchShape& shape, uint64_t seed)
    : Loader(data, shape, seed, {.seed = seed, .data = data.fingerprint()}) {}

Loader::Loader(const Dataset& data, const BatchShape& shape, uint64_t seed,
               const LoaderState& resume)
    : maker_(data.shuffled(shape, seed)),
      seed_(seed),
      data_(data.fingerprint()),
      first_row_(resume.rows) {
  ASHLAR_CHECK(resume.seed == seed,
               "resume: the checkpoint was made with train.seed={}, now it is {}; rows would come "
               "in another order",
               resume.seed, seed);
  ASHLAR_CHECK(resume.data == data_,
               "resume: the data, its tokenizer, weights, packing or train.seq are not those of "
               "the checkpoint; restore them, or start a new run with model.from");
  for (int i = 0; i < kAhead + 1; ++i) slots_.push_back(maker_.reserve());
  for (const StepBatch& slot : slots_) bytes_ += slot.bytes();
  thread_ = std::thread([this] { run(); });
}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  freed_.notify_one();
  thread_.join();
}

void Loader::run() {
  ::pthread_setname_np(::pthread_self(), "loader");
  const auto slots = static_cast<int64_t>(slots_.size());
  for (int64_t step = 0;; ++step) {
    {
      std::unique_lock lock(mutex_);
      freed_.wait(lock, [&] { return stop_ || step < freed_up_to_ + slots; });
      if (stop_) return;
    }
    std::exception_ptr failed;
    try {
      maker_.make(first_row_ + step * maker_.shape().batch,
                  slots_[static_cast<size_t>(step % slots)]);
    } catch (...) {
      failed = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      if (failed) {
        failed_ = failed;
      } else {
        ++made_;
      }
    }
    made_more_.notify_one();
    if (failed) return;
  }
}

const StepBatch& Loader::next() {
  {
    std::unique_lock lock(mutex_);
    freed_up_to_ = handed_out_;  // the one given before is no longer needed
    freed_.notify_one();
    made_more_.wait(lock, [&] { return made_ > handed_out_ || failed_ != nullptr; });
    if (made_ <= handed_out_) std::rethrow_exception(failed_);
  }
  const auto slot = static_cast<size_t>(handed_out_) % slots_.size();
  ++handed_out_;
  return slots_[slot];
}

LoaderState Loader::state() const {
  const int64_t rows = first_row_ + handed_out_ * maker_.shape().batch;
  const int64_t all = maker_.order().rows();
  return {.rows = rows, .epoch = rows / all, .position = rows % all, .seed = seed_, .data = data_};
}

}  // namespace ashlar::data
