#include "ashlar/serve/engine_core.h"

#include <algorithm>

namespace ashlar::serve {

EngineCore::EngineCore(generate::ModelRunner& runner, EngineModel model,
                       const SchedulerLimits& limits)
    : runner_(runner), model_(std::move(model)), pool_(runner.blocks()), scheduler_(limits, *this) {
  identity_.dtype = runner.cache_dtype();
  model_.info.context_length = std::min(model_.info.context_length, capacity());
  for (int i = 0; i < runner.pool().threads(); ++i) samplers_.emplace_back(runner.vocab());
}

EngineCore::~EngineCore() = default;

// ---------------------------------------------------------------- cache space
int64_t EngineCore::capacity() const {
  return std::min(runner_.max_context(), pool_.blocks() * generate::kBlockTokens);
}

int64_t EngineCore::reuse(SequenceId id, int64_t at_most) {
  EngineSequence& sequence = *sequences_.at(id);
  sequence.cached_tokens = sequence.blocks.reuse(sequence.tokens, at_most);
  return sequence.cached_tokens;
}

bool EngineCore::grow(SequenceId id, int64_t tokens) {
  return sequences_.at(id)->blocks.grow(tokens);
}

generate::CacheIdentity EngineCore::identity_of(int64_t length) const {
  generate::CacheIdentity identity = identity_;
  identity.long_sequence = runner_.is_long(length);
  return identity;
}

void EngineCore::release(SequenceId id) { sequences_.at(id)->blocks.clear(); }

// ---------------------------------------------------------------- ends
void EngineCore::end_choice(EngineSequence& sequence, FinishReason reason, double now) {
  EngineRequest& request = *sequence.request;
  if (sequence.text) {
    if (std::string rest = sequence.text->finish(); !rest.empty()) {
      send(request, Delta{sequence.choice, std::move(rest), {}, {}});
    }
  }
  send(request, ChoiceEnd{sequence.choice, reason});
  sequence.ended = true;
  request.usage.longest_completion =
      std::max(request.usage.longest_completion, sequence.generated());
  scheduler_.remove(sequence.id);
  sequences_.erase(sequence.id);
  if (--request.open > 0) return;
  const double started = request.started.value_or(now);
  const double first = request.first_token.value_or(now);
  send(request, Done{request.usage, {started - request.arrived, first - started, now - first}});
  requests_.erase(request.id);
}

void EngineCore::fail(EngineRequest& request, Fault fault) {
  send(request, Failed{std::move(fault)});
  drop(request);
}

void EngineCore::drop(EngineRequest& request) {
  for (const auto& sequence : request.sequences) {
    if (sequence->ended) continue;
    scheduler_.remove(sequence->id);
    sequences_.erase(sequence->id);
  }
  requests_.erase(request.id);
}

void EngineCore::cancel(RequestId id) {
  const auto found = requests_.find(id);
  if (found != requests_.end()) drop(*found->second);
}

void EngineCore::fail_all(const Fault& fault) {
  while (!requests_.empty()) fail(*requests_.begin()->second, fault);
}

// ---------------------------------------------------------------- what others see
void StepTokens::add(int64_t step) {
  const auto bucket = std::ranges::lower_bound(kAtMost, step) - kAtMost.begin();
  ++steps[static_cast<size_t>(bucket)];
  tokens += step;
}

void EngineCore::send(const EngineRequest& request, Event event) {
  outbox_.emplace_back(request.sink, std::move(event));
}

void EngineCore::deliver() {
  for (auto& [sink, event] : outbox_) sink->on_event(std::move(event));
  outbox_.clear();
}

EngineStats EngineCore::stats() const {
  EngineStats stats;
  stats.running = scheduler_.running();
  stats.waiting = scheduler_.waiting();
  stats.kv_usage =
      1.0 - static_cast<double>(pool_.free_blocks()) / static_cast<double>(pool_.blocks());
  stats.prefix_queries = prefix_queries_;
  stats.prefix_hits = prefix_hits_;
  stats.preemptions = scheduler_.preemptions();
  stats.prompt_tokens = prompt_tokens_;
  stats.generation_tokens = generation_tokens_;
  stats.cache_blocks = pool_.blocks();
  stats.block_tokens = generate::kBlockTokens;
  stats.step_tokens = step_tokens_;
  return stats;
}

}  // namespace ashlar::serve
