// An engine over a small random model, and sinks that gather what it answers.
#pragma once

#include "ashlar/serve/engine.h"
#include "tests/generate/random_model.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::serve {

// Everything one request was sent, in order; with a check of that order.
class Gathered : public EventSink {
 public:
  void on_event(Event event) noexcept override;

  void wait() const;
  void wait_for_ids(size_t count) const;  // of choice 0

  struct Choice {
    std::string text;
    TokenIds ids;
    std::vector<Logprob> logprobs;
    std::optional<FinishReason> reason;
  };
  // After wait().
  const Choice& choice(int index = 0) const { return choices_.at(index); }
  size_t choices() const { return choices_.size(); }
  const std::optional<Fault>& fault() const { return fault_; }
  const Done& done() const { return done_; }
  int64_t accepted_tokens() const { return accepted_; }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::map<int, Choice> choices_;
  std::optional<Fault> fault_;
  Done done_;
  int64_t accepted_ = -1;
  bool over_ = false;
};

struct EngineSetup {
  int64_t blocks = 64;
  int threads = 2;
  DType compute = DType::kF32;
  SchedulerLimits limits{
      .max_batched_tokens = 64, .max_seqs = 8, .max_outputs = 16, .max_waiting = 100};
  testing::RandomModelSizes sizes{};
  int32_t nan_token = -1;  // sequences with it get NaN logits
};

class EngineFixture : public ::testing::Test {
 protected:
  void start(const EngineSetup& setup);
  std::shared_ptr<Gathered> submit(GenerateRequest request, RequestId* id = nullptr);
  std::shared_ptr<Gathered> answer(GenerateRequest request);  // waits for it

  SteadyClock clock_;
  std::optional<ThreadPool> pool_;
  std::unique_ptr<generate::ModelRunner> runner_;
  std::unique_ptr<Engine> engine_;
};

// Ids below the small model's vocabulary, from a seed.
TokenIds random_prompt(uint32_t seed, size_t length);
GenerateRequest ask(TokenIds prompt, int64_t max_tokens);

}  // namespace ashlar::serve
