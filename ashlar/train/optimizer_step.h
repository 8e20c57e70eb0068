// One optimizer step as the trainer sees it, however the rank holds the model: all of it
// (training_step.h), or some stages of a pipeline (pipeline_step.h).
#pragma once

#include "ashlar/data/batch.h"
#include "ashlar/graph/op.h"
#include "ashlar/runtime/profiler.h"
#include "ashlar/train/loss_scale.h"
#include "ashlar/train/ranks.h"
#include "ashlar/train/state_layout.h"

#include <cstdint>
#include <functional>

namespace ashlar::train {

struct StepResult {
  double loss = 0;       // cross-entropy, mean over the counted tokens of the global batch
  double aux_loss = 0;   // balance of the experts' load, mean over the microbatches; else 0
  double grad_norm = 0;  // before clipping
  double loss_scale = 1;
  bool skipped = false;  // gradients overflowed: nothing was updated, the next step's scale is half
};

// The scalars that graphs read in a step, alike for all its microbatches.
struct StepScalars {
  float loss_scale = 0;      // 1 / counted targets of the global batch, times gradient_scale
  float gradient_scale = 1;  // of f16, which the update divides by
  float aux_scale = 0;       // the same for the balance loss, a mean over microbatches
  float lr = 0;
  void set(const data::StepBatch& batch, const LossScale& scale, double rate);
};

// step: from 1.
graph::RunState run_state(uint64_t seed, int64_t step, const LossScale& scale);

class OptimizerStep {
 public:
  virtual ~OptimizerStep() = default;

  // step: from 1. Throws Error naming step, op and layer when something is not finite; the
  // parameters are then as they were before. Loss and norm are those of the whole job.
  virtual StepResult run(const data::StepBatch& batch, uint64_t seed, int64_t step, double lr) = 0;

  // The batch of the step behind `step`, where one follows before anybody looks at the weights;
  // else null. All ranks are told the same.
  using NextBatch = std::function<const data::StepBatch*(int64_t step)>;
  // A pipeline that updates optimistically begins the next step while it waits for the norm.
  virtual void look_ahead(NextBatch) {}
  virtual void forget_next() {}  // all ranks: it does not follow after all

  virtual RankGraphs graphs() const = 0;
  // FLOPs the model needs for the batch: flops.h; this rank's share.
  virtual double flops(const data::StepBatch& batch) const = 0;
  virtual LossScale& loss_scale() = 0;
  virtual int64_t arena_bytes() const = 0;               // of values, scratch and messages
  virtual int64_t kept_bytes() const { return 0; }       // of what an update may be taken back to
  virtual void set_profiler(runtime::Profiler* to) = 0;  // null: none
};

// Throws what is to be said of a step whose loss or norm is not finite. look: runs it once more
// with a look at every result, and throws what it finds. All ranks call it together.
[[noreturn]] void fail_not_finite(uint64_t step, const char* what, const Ranks* ranks,
                                  const std::function<void()>& look);

}  // namespace ashlar::train
