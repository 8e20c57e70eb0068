// The engine of a model that embeds: one thread that takes a few texts of every waiting request
// into each run, so that a long list does not hold up a short one, and answers through their
// replies. A request that is wrong fails alone. It generates nothing.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/embed/embedder.h"
#include "ashlar/serve/backend.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace ashlar::serve {

class EmbeddingEngine : public Backend {
 public:
  // The embedder and the clock outlive the engine. max_waiting: texts in the queue; 0 takes none.
  EmbeddingEngine(embed::Embedder& embedder, ModelInfo info, int64_t max_waiting,
                  const Clock& clock);
  // Ends what is waiting with a fault of kind kShuttingDown.
  ~EmbeddingEngine() override;

  RequestId submit(GenerateRequest request, std::shared_ptr<EventSink> sink) override;
  void cancel(RequestId) override {}
  void tokenize(Prompt prompt, Reply<TokenIds> reply) override;
  void detokenize(TokenIds ids, Reply<std::string> reply) override;
  bool can_embed() const override { return true; }
  void embed(EmbedRequest request, Reply<Embeddings> reply) override;
  std::vector<ModelInfo> models() const override { return {info_}; }
  Health health() const override;
  EngineStats stats() const override;

 private:
  // A request and how far it is.
  struct Job {
    EmbedRequest request;
    Reply<Embeddings> reply;
    std::vector<embed::TokenizedText> texts = {};  // of the inputs, once tokenised
    Embeddings result = {};
    bool tokenized = false;
    size_t in_run = 0;  // texts of the run that is made now
  };

  void work();
  // Throw RequestError.
  embed::TokenizedText tokenized(const Prompt& input, const std::string& param) const;
  void tokenize(Job& job) const;

  // Of the engine's thread: texts of all jobs in turn, then their vectors.
  std::vector<embed::TokenizedText> next_run();
  void take_vectors(std::vector<std::vector<float>> vectors);
  void end(std::deque<Job>::iterator job, std::variant<Embeddings, Fault> result);
  void post(std::function<void()> errand);

  embed::Embedder& embedder_;
  const ModelInfo info_;
  const int64_t max_waiting_;
  const Clock& clock_;

  std::deque<Job> jobs_;  // of the engine's thread

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_:
  std::deque<Job> inbox_;
  std::deque<std::function<void()>> errands_;  // tokenising and its inverse
  EngineStats stats_;
  bool stop_ = false, busy_ = false;
  double last_progress_ = 0;

  std::thread thread_;
};

}  // namespace ashlar::serve
