// The engine: one thread that owns a model, batches whatever requests are there into steps, and
// answers through their sinks. A request that goes wrong ends with its own error; the engine lives
// on.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/serve/backend.h"
#include "ashlar/serve/engine_core.h"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <variant>
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
  std::vector<ModelInfo> models() const override { return {info_}; }
  Health health() const override;
  EngineStats stats() const override;

 private:
  struct Submit {
    RequestId id;
    GenerateRequest request;
    std::shared_ptr<EventSink> sink;
    double arrived;
  };
  struct Cancel {
    RequestId id;
  };
  struct Tokenize {
    Prompt prompt;
    Reply<TokenIds> reply;
  };
  struct Detokenize {
    TokenIds ids;
    Reply<std::string> reply;
  };
  using Command = std::variant<Submit, Cancel, Tokenize, Detokenize>;

  void post(Command command);
  void work();
  void handle(Command command);
  void publish_stats();

  const Clock& clock_;
  const ModelInfo info_;
  const int64_t max_waiting_;
  EngineCore core_;  // of the engine's thread alone

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Command> inbox_;  // below: guarded by mutex_
  EngineStats stats_;
  int64_t inbox_choices_ = 0;
  bool stop_ = false;
  bool busy_ = false;
  double last_progress_ = 0;
  std::atomic<RequestId> last_id_{0};
  std::thread thread_;
};

}  // namespace ashlar::serve
