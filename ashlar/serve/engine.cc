#include "ashlar/serve/engine.h"

#include <pthread.h>

#include <utility>

namespace ashlar::serve {
namespace {

template <typename... F>
struct Visitor : F... {
  using F::operator()...;
};

}  // namespace

Engine::Engine(generate::ModelRunner& runner, EngineModel model, const SchedulerLimits& limits,
               const Clock& clock)
    : clock_(clock),
      info_(model.info),
      max_waiting_(limits.max_waiting),
      core_(runner, std::move(model), limits),
      last_progress_(clock.now()),
      thread_([this] { work(); }) {
  pthread_setname_np(thread_.native_handle(), "engine");
}

Engine::~Engine() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

RequestId Engine::submit(GenerateRequest request, std::shared_ptr<EventSink> sink) {
  const RequestId id = ++last_id_;
  {
    const std::lock_guard lock(mutex_);
    if (stop_) throw RequestError({FaultKind::kShuttingDown, "the server is shutting down", ""});
    const int64_t choices = request.choices();
    if (stats_.waiting + inbox_choices_ + choices > max_waiting_) {
      throw RequestError({FaultKind::kOverloaded,
                          fmt::format("the queue is full: {} are waiting, {} may; try again later",
                                      stats_.waiting + inbox_choices_, max_waiting_),
                          ""});
    }
    inbox_choices_ += choices;
    inbox_.push_back(Submit{id, std::move(request), std::move(sink), clock_.now()});
  }
  wake_.notify_one();
  return id;
}

void Engine::post(Command command) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(command));
  }
  wake_.notify_one();
}

void Engine::cancel(RequestId id) { post(Cancel{id}); }

void Engine::tokenize(Prompt prompt, Reply<TokenIds> reply) {
  post(Tokenize{std::move(prompt), std::move(reply)});
}

void Engine::detokenize(TokenIds ids, Reply<std::string> reply) {
  post(Detokenize{std::move(ids), std::move(reply)});
}

Health Engine::health() const {
  const std::lock_guard lock(mutex_);
  Health health;
  health.live = !stop_;
  if (busy_) health.stalled_s = clock_.now() - last_progress_;
  return health;
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void Engine::work() {
  bool idle = true;
  for (;;) {
    std::vector<Command> commands;
    {
      std::unique_lock lock(mutex_);
      if (idle) wake_.wait(lock, [&] { return stop_ || !inbox_.empty(); });
      if (stop_) break;
      commands.swap(inbox_);
      inbox_choices_ = 0;
      if (idle) last_progress_ = clock_.now();
      busy_ = true;
    }
    for (Command& command : commands) handle(std::move(command));
    idle = !core_.step(clock_);
    publish_stats();
    const std::lock_guard lock(mutex_);
    last_progress_ = clock_.now();
    busy_ = !idle;
  }
  core_.fail_all({FaultKind::kShuttingDown, "the server is shutting down", ""});
  // What came after the last look into the inbox is answered as well.
  const std::lock_guard lock(mutex_);
  for (Command& command : inbox_) {
    const Fault fault{FaultKind::kShuttingDown, "the server is shutting down", ""};
    std::visit(Visitor{[&](Submit& submit) { submit.sink->on_event(Failed{fault}); },
                       [](Cancel&) {}, [&](auto& other) { other.reply(fault); }},
               command);
  }
}

void Engine::handle(Command command) {
  const auto answer = [](auto& reply, auto compute) {
    try {
      reply(compute());
    } catch (const RequestError& error) {
      reply(error.fault());
    } catch (const std::exception& error) {
      reply(Fault{FaultKind::kInvalid, error.what(), ""});
    }
  };
  std::visit(Visitor{[&](Submit& submit) {
                       core_.submit(submit.id, std::move(submit.request), std::move(submit.sink),
                                    submit.arrived);
                     },
                     [&](Cancel& cancel) { core_.cancel(cancel.id); },
                     [&](Tokenize& work) {
                       answer(work.reply, [&] { return core_.encoder().encode(work.prompt); });
                     },
                     [&](Detokenize& work) {
                       answer(work.reply, [&] { return core_.encoder().decode(work.ids); });
                     }},
             command);
}

void Engine::publish_stats() {
  const EngineStats stats = core_.stats();
  const std::lock_guard lock(mutex_);
  stats_ = stats;
}

}  // namespace ashlar::serve
