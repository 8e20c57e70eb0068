#include "ashlar/serve/engine.h"

#include "ashlar/base/log.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace ashlar::serve {
namespace {

// What comes in between two steps (tokenising, mostly) may hold up running requests for so long.
constexpr double kIntakeSeconds = 0.01;

template <typename... F>
struct Visitor : F... {
  using F::operator()...;
};

Fault shutting_down() { return {FaultKind::kShuttingDown, "the server is shutting down", "", 1}; }

}  // namespace

Engine::Engine(generate::ModelRunner& runner, EngineModel model, const SchedulerLimits& limits,
               const Clock& clock)
    : clock_(clock),
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

// ---------------------------------------------------------------- from any thread
RequestId Engine::submit(GenerateRequest request, std::shared_ptr<EventSink> sink) {
  const RequestId id = ++last_id_;
  {
    const std::lock_guard lock(mutex_);
    refuse_when_over();
    const int64_t waiting = stats_.waiting + inbox_choices_;
    if (waiting + request.choices() > max_waiting_) {
      throw RequestError({FaultKind::kOverloaded,
                          fmt::format("the queue is full: {} are waiting, {} may; try again later",
                                      waiting, max_waiting_),
                          "", 1});
    }
    inbox_choices_ += request.choices();
    inbox_.push_back(Submit{id, std::move(request), std::move(sink), clock_.now()});
  }
  wake_.notify_one();
  return id;
}

void Engine::cancel(RequestId id) {
  {
    const std::lock_guard lock(mutex_);
    const auto queued = std::ranges::find_if(inbox_, [id](const Command& command) {
      const auto* submit = std::get_if<Submit>(&command);
      return submit != nullptr && submit->id == id;
    });
    if (queued != inbox_.end()) {
      inbox_choices_ -= std::get<Submit>(*queued).request.choices();
      inbox_.erase(queued);
      return;
    }
    cancelled_.push_back(id);
  }
  wake_.notify_one();
}

void Engine::tokenize(Prompt prompt, Reply<TokenIds> reply) {
  post(Tokenize{std::move(prompt), std::move(reply)});
}

void Engine::detokenize(TokenIds ids, Reply<std::string> reply) {
  post(Detokenize{std::move(ids), std::move(reply)});
}

void Engine::post(Command command) {
  {
    const std::lock_guard lock(mutex_);
    refuse_when_over();
    inbox_.push_back(std::move(command));
  }
  wake_.notify_one();
}

void Engine::refuse_when_over() const {
  if (!problem_.empty()) {
    throw RequestError({FaultKind::kInternal, "the engine is dead: " + problem_, "", 1});
  }
  if (stop_) throw RequestError(shutting_down());
}

Health Engine::health() const {
  const std::lock_guard lock(mutex_);
  Health health;
  health.live = problem_.empty();
  health.problem = problem_;
  if (busy_) health.stalled_s = clock_.now() - last_progress_;
  return health;
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

// ---------------------------------------------------------------- the engine's thread
void Engine::work() {
  try {
    while (take_commands()) {
      if (core_.has_work()) core_.step(clock_);
      publish();
      core_.deliver();
    }
    close(shutting_down());
  } catch (const std::exception& error) {  // not a request's fault: memory, or a mistake of ours
    log::error("engine died error=\"{}\"", error.what());
    {
      const std::lock_guard lock(mutex_);
      problem_ = error.what();
    }
    close({FaultKind::kInternal, std::string("the engine died: ") + error.what(), "", 1});
  }
}

// Handles what came in, as far as running requests can wait for it. False: the engine is to stop.
bool Engine::take_commands() {
  const double until = clock_.now() + kIntakeSeconds;
  std::vector<RequestId> cancelled;
  do {
    {
      std::unique_lock lock(mutex_);
      if (!core_.has_work()) {
        busy_ = false;
        wake_.wait(lock, [&] { return stop_ || !inbox_.empty() || !cancelled_.empty(); });
        last_progress_ = clock_.now();
        busy_ = true;
      }
      if (stop_) return false;
    }
    std::optional<Command> command = next_command(cancelled);
    for (const RequestId id : std::exchange(cancelled, {})) core_.cancel(id);
    if (!command) return true;
    handle(std::move(*command));
    publish();
    core_.deliver();
  } while (clock_.now() < until);
  return true;
}

std::optional<Engine::Command> Engine::next_command(std::vector<RequestId>& cancelled) {
  const std::lock_guard lock(mutex_);
  cancelled.swap(cancelled_);
  if (inbox_.empty()) return std::nullopt;
  Command command = std::move(inbox_.front());
  inbox_.pop_front();
  if (const auto* submit = std::get_if<Submit>(&command)) {
    inbox_choices_ -= submit->request.choices();
  }
  return command;
}

void Engine::handle(Command command) {
  const auto answer = [](auto& reply, auto compute) {
    try {
      reply(compute());
    } catch (const RequestError& error) {
      reply(error.fault());
    } catch (const std::exception& error) {
      reply(Fault{FaultKind::kInvalid, error.what(), "", 1});
    }
  };
  std::visit(Visitor{[&](Submit& submit) {
                       core_.submit(submit.id, std::move(submit.request), std::move(submit.sink),
                                    submit.arrived);
                     },
                     [&](Tokenize& work) {
                       answer(work.reply, [&] { return core_.encoder().encode(work.prompt); });
                     },
                     [&](Detokenize& work) {
                       answer(work.reply, [&] { return core_.encoder().decode(work.ids); });
                     }},
             command);
}

void Engine::publish() {
  const EngineStats stats = core_.stats();
  const std::lock_guard lock(mutex_);
  stats_ = stats;
  last_progress_ = clock_.now();
}

// Everybody gets an answer: who runs, who waits, and who came after the last look into the inbox.
void Engine::close(const Fault& fault) {
  core_.fail_all(fault);
  publish();
  core_.deliver();
  std::deque<Command> left;
  {
    const std::lock_guard lock(mutex_);
    left.swap(inbox_);
    inbox_choices_ = 0;
    busy_ = false;
  }
  for (Command& command : left) {
    std::visit(Visitor{[&](Submit& submit) { submit.sink->on_event(Failed{fault}); },
                       [&](auto& other) { other.reply(fault); }},
               command);
  }
}

}  // namespace ashlar::serve
