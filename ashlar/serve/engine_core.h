// What the engine does, without its thread: requests become sequences, the scheduler's steps are
// run on the model, tokens are drawn and events sent. One caller.
#pragma once

#include "ashlar/generate/model_runner.h"
#include "ashlar/generate/sampler.h"
#include "ashlar/serve/backend.h"
#include "ashlar/serve/engine_request.h"
#include "ashlar/serve/policy/scheduler.h"
#include "ashlar/serve/prompt_encoder.h"

#include <map>
#include <memory>
#include <vector>

namespace ashlar::serve {

// A model as a server shows and uses it.
struct EngineModel {
  ModelInfo info;
  PromptEncoder encoder;
  std::vector<int32_t> end_tokens;
};

class EngineCore : private CacheSpace {
 public:
  EngineCore(generate::ModelRunner& runner, EngineModel model, const SchedulerLimits& limits);
  ~EngineCore() override;

  // Tokenises, checks and queues; what is wrong comes as Failed.
  void submit(RequestId id, GenerateRequest request, std::shared_ptr<EventSink> sink, double now);
  void cancel(RequestId id);
  // Runs one step; false when there was nothing to do.
  bool step(const Clock& clock);
  // Ends every request with a fault.
  void fail_all(const Fault& fault);

  const PromptEncoder& encoder() const { return model_.encoder; }
  EngineStats stats() const;

 private:
  // CacheSpace: rooms of the sequences in the block pool.
  int64_t capacity() const override;
  int64_t free_blocks() const override { return pool_.free_blocks(); }
  int64_t reuse(SequenceId id, int64_t at_most) override;
  bool grow(SequenceId id, int64_t tokens) override;
  void release(SequenceId id) override;

  void admit(std::unique_ptr<EngineRequest> request, double now);
  void run_plan(const StepPlan& plan, const Clock& clock);
  // Uses a chunk's rows of logits; `row` is the first of them.
  void use_logits(EngineSequence& sequence, const ScheduledChunk& chunk,
                  const generate::Logits& logits, int64_t row, double now);
  void draw(EngineSequence& sequence, std::span<const float> logits, double now);
  void end_choice(EngineSequence& sequence, FinishReason reason, double now);
  void fail(EngineRequest& request, Fault fault);
  void drop(EngineRequest& request);  // its sequences leave the scheduler; then it is gone

  generate::ModelRunner& runner_;
  EngineModel model_;
  generate::KvPool pool_;
  generate::CacheIdentity identity_;
  generate::Sampler sampler_;
  std::map<RequestId, std::unique_ptr<EngineRequest>> requests_;
  std::map<SequenceId, EngineSequence*> sequences_;
  Scheduler scheduler_;
  SequenceId last_sequence_ = 0;
  int64_t prefix_queries_ = 0, prefix_hits_ = 0;
};

}  // namespace ashlar::serve
