// The engine: one thread that owns a model, batches whatever requests are there into steps, and
// answers through their sinks. Prompts become tokens on a second thread before they reach it. A
// request that goes wrong ends with its own error; the engine lives on.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/serve/backend.h"
#include "ashlar/serve/encoder_thread.h"
#include "ashlar/serve/engine_core.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace ashlar::serve {

class Engine : public Backend {
 public:
  // The runner, its weights and pool, and the clock outlive the engine. Starts the thread.
  Engine(generate::ModelRunner& runner, EngineModel model, const SchedulerLimits& limits,
         const Clock& clock);
  // Ends what is running with an error of kind kShuttingDown.
  ~Engine() override;

  RequestId submit(GenerateRequest request, std::shared_ptr<EventSink> sink) override;
  void cancel(RequestId id) override;
  void tokenize(Prompt prompt, Reply<TokenIds> reply) override;
  void detokenize(TokenIds ids, Reply<std::string> reply) override;
  std::vector<ModelInfo> models() const override { return {core_.info()}; }
  Health health() const override;
  // As of the last step; a request that has seen its end is not in it any more.
  EngineStats stats() const override;

 private:
  struct Submit {
    RequestId id;
    GenerateRequest request;
    std::shared_ptr<EventSink> sink;
    double arrived;
    std::vector<TokenIds> prompts = {};  // of the request, once encoded
  };

  // Of an engine that takes nothing any more. mutex_ is held.
  std::optional<Fault> over() const;
  void refuse_when_over() const;  // throws RequestError

  // On the encoder's thread.
  void encode(Submit& submit);
  template <typename T, typename Compute>
  void reply_to(const Reply<T>& reply, const Compute& compute) const;

  // On the engine's thread.
  void work();
  bool take_requests();
  std::optional<Submit> next_request(std::vector<RequestId>& cancelled);
  void publish();
  void close(const Fault& fault);

  const Clock& clock_;
  const int64_t max_waiting_;
  EngineCore core_;  // of the engine's thread alone, but for info()

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_:
  std::map<RequestId, int> encoding_;  // posted to the encoder: their choices
  std::deque<Submit> inbox_;           // encoded
  std::vector<RequestId> cancelled_;
  int64_t choices_before_ = 0;  // of both
  EngineStats stats_;
  bool stop_ = false;
  bool busy_ = false;
  double last_progress_ = 0;
  std::string problem_;  // what the engine died of

  std::atomic<RequestId> last_id_{0};
  EncoderThread encoder_;
  std::thread thread_;
};

}  // namespace ashlar::serve
