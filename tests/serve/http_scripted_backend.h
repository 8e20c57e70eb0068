// A backend whose every event a test decides, or an engine thread that answers all it gets.
#pragma once

#include "ashlar/serve/backend.h"

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace ashlar::serve {

class ScriptedBackend : public Backend {
 public:
  struct Submitted {
    RequestId id = 0;
    GenerateRequest request;
    std::shared_ptr<EventSink> sink;

    void accept(int64_t prompt_tokens = 3) const { sink->on_event(Accepted{prompt_tokens, "w7"}); }
    void text(int choice, const std::string& piece) const {
      sink->on_event(Delta{choice, piece, {1}, {}});
    }
    void end(int choice, FinishReason reason = FinishReason::kStop) const {
      sink->on_event(ChoiceEnd{choice, reason});
    }
    void done(int64_t completion_tokens = 2) const {
      sink->on_event(Done{{3, completion_tokens, 1}, {0.1, 0.2, 0.3}});
    }
    void fail(FaultKind kind, const std::string& message, const std::string& param = "") const {
      sink->on_event(Failed{{kind, message, param, 2}});
    }
  };

  ScriptedBackend();
  ~ScriptedBackend() override;

  // Waits for the next request; fails the test after some seconds.
  Submitted next();
  bool wait_waiting(size_t count);  // until so many requests are queued
  bool wait_cancelled(RequestId id);
  size_t cancelled() const;

  // Starts a thread that answers each request with `tokens` pieces "w0 ", "w1 ", ... a choice.
  void answer_all(int tokens);

  void set_health(Health health);
  void set_stats(EngineStats stats);
  size_t queue_limit = 1000;  // set before the server starts
  bool embeds = false;
  ModelInfo model;

  RequestId submit(GenerateRequest request, std::shared_ptr<EventSink> sink) override;
  void cancel(RequestId id) override;
  void tokenize(Prompt prompt, Reply<TokenIds> reply) override;  // a token per byte
  void detokenize(TokenIds ids, Reply<std::string> reply) override;
  bool can_embed() const override { return embeds; }
  void embed(EmbedRequest request, Reply<Embeddings> reply) override;
  std::vector<ModelInfo> models() const override { return {model}; }
  Health health() const override;
  EngineStats stats() const override;

 private:
  void run_engine(int tokens);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Submitted> waiting_;
  std::set<RequestId> cancelled_;
  Health health_;
  EngineStats stats_;
  RequestId last_id_ = 0;
  bool stop_ = false;
  std::thread engine_;
};

}  // namespace ashlar::serve
