// What the engine does, without its thread: requests become sequences, the scheduler's steps are
// run on the model, tokens are drawn and events made of them. One caller.
#pragma once

#include "ashlar/generate/model_runner.h"
#include "ashlar/generate/sampler.h"
#include "ashlar/serve/backend.h"
#include "ashlar/serve/engine_request.h"
#include "ashlar/serve/policy/scheduler.h"
#include "ashlar/serve/prompt_encoder.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
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
  // The runner outlives this.
  EngineCore(generate::ModelRunner& runner, EngineModel model, const SchedulerLimits& limits);
  ~EngineCore() override;

  // Checks and queues; what is wrong comes as Failed. prompts: the request's, encoded.
  void submit(RequestId id, GenerateRequest request, std::vector<TokenIds> prompts,
              std::shared_ptr<EventSink> sink, double arrived);
  void cancel(RequestId id);
  bool has_work() const { return scheduler_.running() + scheduler_.waiting() > 0; }
  void step(const Clock& clock);
  // Ends every request with a fault.
  void fail_all(const Fault& fault);
  // Sends the events that calls above have made.
  void deliver();

  // Never changes. The context is no longer than what one sequence finds room for in the cache.
  const ModelInfo& info() const { return model_.info; }
  const PromptEncoder& encoder() const { return model_.encoder; }
  EngineStats stats() const;

 private:
  // A row of logits: a token is drawn from it, or it scores a known token of an echoed prompt.
  struct RowWork {
    EngineSequence* sequence = nullptr;
    int64_t row = 0;
    bool draws = false;
    int32_t token = 0;
    std::optional<generate::ScoredToken> score;
    std::string error;
  };

  generate::CacheIdentity identity_of(int64_t length) const;

  // CacheSpace: the sequences' rooms in the block pool.
  int64_t capacity() const override;
  int64_t free_blocks() const override { return pool_.free_blocks(); }
  int64_t reuse(SequenceId id, int64_t at_most) override;
  bool grow(SequenceId id, int64_t tokens) override;
  void release(SequenceId id) override;

  // engine_admission.cc
  void admit(std::unique_ptr<EngineRequest> request, const std::vector<TokenIds>& prompts,
             double now);
  void add_choices(EngineRequest& request, const Prompt& prompt, const TokenIds& ids,
                   uint64_t seed);
  void queue(EngineRequest& request, double now);
  std::string text_of(const Prompt& prompt, const TokenIds& ids) const;

  // engine_step.cc
  void note_starts(const StepPlan& plan, double now);
  void run_model(const StepPlan& plan);
  void add_row_work(const ScheduledChunk& chunk, int64_t first_row);
  void work_on_row(RowWork& work, generate::Sampler& sampler) const;
  void apply(RowWork& work, double now);
  void add_token(EngineSequence& sequence, RowWork& work, double now);
  Logprob logprob_entry(const generate::ScoredToken& score) const;

  void send(const EngineRequest& request, Event event);
  void end_choice(EngineSequence& sequence, FinishReason reason, double now);
  void fail(EngineRequest& request, Fault fault);
  void drop(EngineRequest& request);  // its sequences leave the scheduler; then it is gone

  generate::ModelRunner& runner_;
  EngineModel model_;
  generate::KvPool pool_;
  generate::CacheIdentity identity_;
  std::map<RequestId, std::unique_ptr<EngineRequest>> requests_;
  std::map<SequenceId, EngineSequence*> sequences_;
  Scheduler scheduler_;
  SequenceId last_sequence_ = 0;
  int64_t prefix_queries_ = 0, prefix_hits_ = 0, prompt_tokens_ = 0, generation_tokens_ = 0;
  StepTokens step_tokens_;
  std::vector<std::pair<std::shared_ptr<EventSink>, Event>> outbox_;

  // Of the step being done.
  std::vector<generate::Sampler> samplers_;  // one a thread
  std::vector<generate::SequencePiece> pieces_;
  generate::Logits logits_;
  std::vector<RowWork> rows_;
};

}  // namespace ashlar::serve
