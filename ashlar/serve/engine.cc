#include "ashlar/serve/engine.h"

#include "ashlar/base/log.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace ashlar::serve {
namespace {

// What comes in between two steps may hold up running requests for so long.
constexpr double kIntakeSeconds = 0.01;

// Who asked for something that cannot be encoded learns why.
Fault fault_of(const std::exception& error) {
  if (const auto* request = dynamic_cast<const RequestError*>(&error)) return request->fault();
  const bool theirs = dynamic_cast<const Error*>(&error) != nullptr;
  return {theirs ? FaultKind::kInvalid : FaultKind::kInternal, error.what(), "", 1};
}

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
  const int choices = request.choices();
  if (choices > max_waiting_) {  // trying again would not help
    throw RequestError({FaultKind::kInvalid,
                        fmt::format("{} choices in one request, but only {} may wait here; send "
                                    "several requests",
                                    choices, max_waiting_),
                        request.n > 1 ? "n" : "prompt", 1});
  }
  const auto posted =
      std::make_shared<Submit>(Submit{id, std::move(request), std::move(sink), clock_.now()});
  {
    const std::lock_guard lock(mutex_);
    refuse_when_over();
    const int64_t waiting = stats_.waiting + choices_before_;
    if (waiting + choices > max_waiting_) {
      throw RequestError({FaultKind::kOverloaded,
                          fmt::format("the queue is full: {} are waiting, {} may; try again later",
                                      waiting, max_waiting_),
                          "", 1});
    }
    choices_before_ += choices;
    encoding_[id] = choices;
  }
  encoder_.post([this, posted] { encode(*posted); });
  return id;
}

void Engine::cancel(RequestId id) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = encoding_.find(id); found != encoding_.end()) {
      choices_before_ -= found->second;
      encoding_.erase(found);
      return;
    }
    if (const auto queued = std::ranges::find(inbox_, id, &Submit::id); queued != inbox_.end()) {
      choices_before_ -= queued->request.choices();
      inbox_.erase(queued);
      return;
    }
    cancelled_.push_back(id);
  }
  wake_.notify_one();
}

void Engine::tokenize(Prompt prompt, Reply<TokenIds> reply) {
  {
    const std::lock_guard lock(mutex_);
    refuse_when_over();
  }
  encoder_.post([this, prompt = std::move(prompt), reply = std::move(reply)] {
    reply_to(reply, [&] { return core_.encoder().encode(prompt); });
  });
}

void Engine::detokenize(TokenIds ids, Reply<std::string> reply) {
  {
    const std::lock_guard lock(mutex_);
    refuse_when_over();
  }
  encoder_.post([this, ids = std::move(ids), reply = std::move(reply)] {
    reply_to(reply, [&] { return core_.encoder().decode(ids); });
  });
}

std::optional<Fault> Engine::over() const {
  if (!problem_.empty()) {
    return Fault{FaultKind::kInternal, "the engine is dead: " + problem_, "", 1};
  }
  if (stop_) return shutting_down();
  return std::nullopt;
}

void Engine::refuse_when_over() const {
  if (const std::optional<Fault> fault = over()) throw RequestError(*fault);
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

// ---------------------------------------------------------------- the encoder's thread
void Engine::encode(Submit& submit) {
  {
    const std::lock_guard lock(mutex_);
    if (!encoding_.contains(submit.id)) return;  // cancelled
  }
  std::optional<Fault> fault;
  try {
    for (const Prompt& prompt : submit.request.prompts) {
      submit.prompts.push_back(core_.encoder().encode(prompt));
    }
  } catch (const std::exception& error) {
    fault = fault_of(error);
  }
  {
    const std::lock_guard lock(mutex_);
    if (encoding_.erase(submit.id) == 0) return;
    if (!fault) fault = over();
    if (fault) {
      choices_before_ -= submit.request.choices();
    } else {
      inbox_.push_back(std::move(submit));
    }
  }
  if (fault) return submit.sink->on_event(Failed{std::move(*fault)});
  wake_.notify_one();
}

template <typename T, typename Compute>
void Engine::reply_to(const Reply<T>& reply, const Compute& compute) const {
  {
    std::unique_lock lock(mutex_);
    if (std::optional<Fault> fault = over()) {
      lock.unlock();
      return reply(std::move(*fault));
    }
  }
  std::variant<T, Fault> result;
  try {
    result = compute();
  } catch (const std::exception& error) {
    result = fault_of(error);
  }
  reply(std::move(result));
}

// ---------------------------------------------------------------- the engine's thread
void Engine::work() {
  try {
    while (take_requests()) {
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

// Admits what came in, as far as running requests can wait for it. False: the engine is to stop.
bool Engine::take_requests() {
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
    std::optional<Submit> next = next_request(cancelled);
    for (const RequestId id : std::exchange(cancelled, {})) core_.cancel(id);
    if (!next) return true;
    core_.submit(next->id, std::move(next->request), std::move(next->prompts),
                 std::move(next->sink), next->arrived);
    publish();
    core_.deliver();
  } while (clock_.now() < until);
  return true;
}

std::optional<Engine::Submit> Engine::next_request(std::vector<RequestId>& cancelled) {
  const std::lock_guard lock(mutex_);
  cancelled.swap(cancelled_);
  if (inbox_.empty()) return std::nullopt;
  Submit next = std::move(inbox_.front());
  inbox_.pop_front();
  choices_before_ -= next.request.choices();
  stats_.waiting += next.request.choices();  // until the core has counted them
  return next;
}

void Engine::publish() {
  const EngineStats stats = core_.stats();
  const std::lock_guard lock(mutex_);
  stats_ = stats;
  last_progress_ = clock_.now();
}

// Everybody gets an answer: who runs, who waits, and who came after the last look into the inbox;
// the encoder sees to those it still has.
void Engine::close(const Fault& fault) {
  core_.fail_all(fault);
  publish();
  core_.deliver();
  std::deque<Submit> left;
  {
    const std::lock_guard lock(mutex_);
    left.swap(inbox_);
    for (const Submit& submit : left) choices_before_ -= submit.request.choices();
    busy_ = false;
  }
  for (const Submit& submit : left) submit.sink->on_event(Failed{fault});
}

}  // namespace ashlar::serve
