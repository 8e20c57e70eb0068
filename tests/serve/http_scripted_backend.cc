#include "tests/serve/http_scripted_backend.h"

#include <chrono>
#include <utility>

namespace ashlar::serve {
namespace {

constexpr std::chrono::seconds kPatience(20);

}  // namespace

ScriptedBackend::ScriptedBackend() {
  model.id = "tiny";
  model.created = 1700000000;
  model.context_length = 128;
  model.vocab_size = 1000;
  model.weight_version = "w7";
}

ScriptedBackend::~ScriptedBackend() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (engine_.joinable()) engine_.join();
}

ScriptedBackend::Submitted ScriptedBackend::next() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [&] { return !waiting_.empty(); })) {
    fail("no request came within {} s", kPatience.count());
  }
  Submitted first = std::move(waiting_.front());
  waiting_.pop_front();
  return first;
}

bool ScriptedBackend::wait_waiting(size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] { return waiting_.size() >= count; });
}

bool ScriptedBackend::wait_cancelled(RequestId id) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] { return cancelled_.contains(id); });
}

size_t ScriptedBackend::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_.size();
}

void ScriptedBackend::answer_all(int tokens) {
  engine_ = std::thread([this, tokens] { run_engine(tokens); });
}

void ScriptedBackend::run_engine(int tokens) {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    const std::deque<Submitted> batch = std::exchange(waiting_, {});
    lock.unlock();
    for (const Submitted& one : batch) one.accept();
    for (int token = 0; token < tokens; ++token) {  // all requests advance together
      for (const Submitted& one : batch) {
        for (int i = 0; i < one.request.choices(); ++i) one.text(i, fmt::format("w{} ", token));
      }
    }
    for (const Submitted& one : batch) {
      for (int i = 0; i < one.request.choices(); ++i) one.end(i, FinishReason::kLength);
      one.done(tokens);
    }
    lock.lock();
  }
}

void ScriptedBackend::set_health(Health health) {
  const std::lock_guard lock(mutex_);
  health_ = std::move(health);
}

void ScriptedBackend::set_stats(EngineStats stats) {
  const std::lock_guard lock(mutex_);
  stats_ = stats;
}

RequestId ScriptedBackend::submit(GenerateRequest request, std::shared_ptr<EventSink> sink) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= queue_limit) {
    throw RequestError({FaultKind::kOverloaded, "the queue is full", "", 3});
  }
  waiting_.push_back({++last_id_, std::move(request), std::move(sink)});
  changed_.notify_all();
  return last_id_;
}

void ScriptedBackend::cancel(RequestId id) {
  const std::lock_guard lock(mutex_);
  cancelled_.insert(id);
  changed_.notify_all();
}

void ScriptedBackend::tokenize(Prompt prompt, Reply<TokenIds> reply) {
  const auto* text = std::get_if<TextPrompt>(&prompt);
  if (text == nullptr) return reply(Fault{FaultKind::kInvalid, "no template", "messages", 0});
  reply(TokenIds(text->text.begin(), text->text.end()));
}

void ScriptedBackend::detokenize(TokenIds ids, Reply<std::string> reply) {
  std::string text;
  for (const int32_t id : ids) text += static_cast<char>(id);
  reply(text);
}

void ScriptedBackend::embed(EmbedRequest request, Reply<Embeddings> reply) {
  Embeddings result;
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    result.vectors.push_back({static_cast<float>(i), 0.5F, -2.0F});
  }
  result.prompt_tokens = 4;
  reply(std::move(result));
}

Health ScriptedBackend::health() const {
  const std::lock_guard lock(mutex_);
  return health_;
}

EngineStats ScriptedBackend::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

}  // namespace ashlar::serve
