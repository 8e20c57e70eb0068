// The engine: one thread that owns a model, batches whatever requests are there into steps, and
// answers through their sinks. A request that goes wrong ends with its own error; the engine lives
// on.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/serve/backend.h"
#include "ashlar/serve/engine_core.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
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
  };
  struct Tokenize {
    Prompt prompt;
    Reply<TokenIds> reply;
  };
  struct Detokenize {
    TokenIds ids;
    Reply<std::string> reply;
  };
  using Command = std::variant<Submit, Tokenize, Detokenize>;

  void post(Command command);
  void refuse_when_over() const;  // throws RequestError

  // On the engine's thread.
  void work();
  bool take_commands();
  std::optional<Command> next_command(std::vector<RequestId>& cancelled);
  void handle(Command command);
  void publish();
  void close(const Fault& fault);

  const Clock& clock_;
  const int64_t max_waiting_;
  EngineCore core_;  // of the engine's thread alone, but for info()

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_:
  std::deque<Command> inbox_;
  std::vector<RequestId> cancelled_;
  int64_t inbox_choices_ = 0;
  EngineStats stats_;
  bool stop_ = false;
  bool busy_ = false;
  double last_progress_ = 0;
  std::string problem_;  // what the engine died of

  std::atomic<RequestId> last_id_{0};
  std::thread thread_;
};

}  // namespace ashlar::serve
