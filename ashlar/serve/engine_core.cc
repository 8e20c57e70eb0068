#include "ashlar/serve/engine_core.h"

#include <algorithm>
#include <random>

namespace ashlar::serve {
namespace {

generate::SamplingParams sampling_params(const Sampling& asked, uint64_t seed, int sample) {
  generate::SamplingParams params;
  params.temperature = asked.temperature;
  params.top_k = asked.top_k;
  params.top_p = asked.top_p;
  params.min_p = asked.min_p;
  params.presence_penalty = asked.presence_penalty;
  params.frequency_penalty = asked.frequency_penalty;
  params.repetition_penalty = asked.repetition_penalty;
  params.logit_bias = asked.logit_bias;
  params.seed = seed;
  params.stream = static_cast<uint64_t>(sample);
  return params;
}

uint64_t fresh_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace

EngineCore::EngineCore(generate::ModelRunner& runner, EngineModel model,
                       const SchedulerLimits& limits)
    : runner_(runner),
      model_(std::move(model)),
      pool_(runner.blocks()),
      sampler_(runner.vocab()),
      scheduler_(limits, *this) {
  identity_.dtype = runner.cache_dtype();
}

EngineCore::~EngineCore() = default;

// ---------------------------------------------------------------- cache space
int64_t EngineCore::capacity() const {
  return std::min(runner_.max_context(), pool_.blocks() * generate::kBlockTokens);
}

int64_t EngineCore::reuse(SequenceId id, int64_t at_most) {
  EngineSequence& sequence = *sequences_.at(id);
  const int64_t found = sequence.blocks.reuse(sequence.tokens, at_most);
  if (!sequence.started) {
    prefix_queries_ += sequence.prompt_tokens;
    prefix_hits_ += found;
    sequence.request->usage.cached_tokens += found;
  }
  return found;
}

bool EngineCore::grow(SequenceId id, int64_t tokens) {
  return sequences_.at(id)->blocks.grow(tokens);
}

void EngineCore::release(SequenceId id) { sequences_.at(id)->blocks.clear(); }

// ---------------------------------------------------------------- admission
void EngineCore::submit(RequestId id, GenerateRequest asked, std::shared_ptr<EventSink> sink,
                        double now) {
  auto request = std::make_unique<EngineRequest>();
  request->id = id;
  request->asked = std::move(asked);
  request->sink = std::move(sink);
  request->arrived = now;
  const std::shared_ptr<EventSink> out = request->sink;
  try {
    admit(std::move(request), now);
  } catch (const RequestError& error) {
    out->on_event(Failed{error.fault()});
  } catch (const Error& error) {
    out->on_event(Failed{{FaultKind::kInvalid, error.what(), ""}});
  }
}

void EngineCore::admit(std::unique_ptr<EngineRequest> request, double now) {
  const GenerateRequest& asked = request->asked;
  const uint64_t seed = asked.sampling.seed.value_or(fresh_seed());
  if (!asked.stop.empty() && model_.encoder.tokenizer() == nullptr) {
    throw RequestError(
        {FaultKind::kUnsupported, "stop: this model came without a tokenizer", "stop"});
  }
  for (const Prompt& prompt : asked.prompts) {
    const TokenIds ids = model_.encoder.encode(prompt);
    const auto length = static_cast<int64_t>(ids.size());
    if (ids.empty()) {
      throw RequestError({FaultKind::kInvalid, "prompt: empty; give at least one token", "prompt"});
    }
    const int64_t room = capacity() - length;
    if (room < 1) {
      throw RequestError(
          {FaultKind::kContextLength,
           fmt::format("the prompt has {} tokens, the context {}: no room for a new one; shorten "
                       "the prompt",
                       length, capacity()),
           "prompt"});
    }
    request->usage.prompt_tokens += length;
    for (int sample = 0; sample < asked.n; ++sample) {
      auto sequence = std::make_unique<EngineSequence>(pool_, identity_);
      sequence->request = request.get();
      sequence->id = ++last_sequence_;
      sequence->choice = static_cast<int>(request->sequences.size());
      sequence->tokens = ids;
      sequence->prompt_tokens = length;
      sequence->most_new = std::min(asked.max_tokens.value_or(room), room);
      sequence->sampling = sampling_params(asked.sampling, seed, sample);
      sequence->sampling.validate(runner_.vocab());
      if (sequence->sampling.has_penalties()) sequence->history.add_prompt(ids);
      if (model_.encoder.tokenizer() != nullptr) {
        sequence->text.emplace(*model_.encoder.tokenizer(), ids, asked.stop);
      }
      request->sequences.push_back(std::move(sequence));
    }
  }

  EngineRequest& accepted = *request;
  requests_[accepted.id] = std::move(request);
  accepted.open = static_cast<int64_t>(accepted.sequences.size());
  accepted.send(Accepted{accepted.usage.prompt_tokens, model_.info.weight_version});
  for (const auto& sequence : accepted.sequences) sequences_[sequence->id] = sequence.get();
  for (const auto& sequence : accepted.sequences) {
    const bool scores_prompt = asked.echo && asked.logprobs;
    if (asked.echo && !asked.logprobs) {
      accepted.send(Delta{sequence->choice,
                          model_.encoder.tokenizer() ? model_.encoder.decode(sequence->tokens) : "",
                          sequence->tokens,
                          {}});
    }
    if (sequence->most_new <= 0 && !scores_prompt) {
      end_choice(*sequence, FinishReason::kLength, now);
      if (!requests_.contains(accepted.id)) return;
      continue;
    }
    const auto admission =
        scheduler_.add({.id = sequence->id,
                        .arrived = now,
                        .tokens = sequence->prompt_tokens,
                        .most_tokens = sequence->prompt_tokens + sequence->most_new,
                        .scored = scores_prompt ? 0 : sequence->prompt_tokens - 1});
    if (admission == Scheduler::Admission::kQueued) continue;
    fail(accepted, {FaultKind::kOverloaded, "the server's queue is full; try again later", ""});
    return;
  }
}

// ---------------------------------------------------------------- steps
bool EngineCore::step(const Clock& clock) {
  const StepPlan plan = scheduler_.schedule(clock.now());
  if (plan.chunks.empty()) return !plan.preempted.empty();
  try {
    run_plan(plan, clock);
  } catch (const std::exception& error) {
    // What failed was the step, not one request's part: end those in it, keep the rest.
    for (const ScheduledChunk& chunk : plan.chunks) {
      const auto found = sequences_.find(chunk.id);
      if (found != sequences_.end()) {
        fail(*found->second->request, {FaultKind::kInternal, error.what(), ""});
      }
    }
  }
  return true;
}

void EngineCore::run_plan(const StepPlan& plan, const Clock& clock) {
  const double now = clock.now();
  for (const SequenceId id : plan.started) {
    EngineSequence& sequence = *sequences_.at(id);
    sequence.started = true;
    if (!sequence.request->started) sequence.request->started = now;
  }
  std::vector<generate::SequencePiece> pieces;
  for (const ScheduledChunk& chunk : plan.chunks) {
    const EngineSequence& sequence = *sequences_.at(chunk.id);
    pieces.push_back(
        {std::span(sequence.tokens)
             .subspan(static_cast<size_t>(chunk.position), static_cast<size_t>(chunk.tokens)),
         chunk.position, sequence.blocks.blocks(), chunk.outputs});
  }
  const generate::Logits logits = runner_.run(pieces);
  scheduler_.completed(plan);

  const double done = clock.now();
  int64_t row = 0;
  for (const ScheduledChunk& chunk : plan.chunks) {
    const auto found = sequences_.find(chunk.id);  // a sibling's fault may have ended it
    if (found != sequences_.end()) {
      EngineSequence& sequence = *found->second;
      sequence.blocks.publish(sequence.tokens, chunk.position + chunk.tokens);
      try {
        use_logits(sequence, chunk, logits, row, done);
      } catch (const Error& error) {
        fail(*sequence.request, {FaultKind::kInternal, error.what(), ""});
      }
    }
    row += chunk.outputs;
  }
}

void EngineCore::use_logits(EngineSequence& sequence, const ScheduledChunk& chunk,
                            const generate::Logits& logits, int64_t row, double now) {
  const GenerateRequest& asked = sequence.request->asked;
  const int64_t end = chunk.position + chunk.tokens;
  const auto length = static_cast<int64_t>(sequence.tokens.size());
  // Rows of an echoed prompt: each scores the token after it.
  for (int64_t i = 0; i < chunk.outputs; ++i) {
    const int64_t next = end - chunk.outputs + i + 1;
    if (next >= sequence.prompt_tokens || sequence.generated() > 0) continue;
    const int32_t token = sequence.tokens[static_cast<size_t>(next)];
    const auto scored = sampler_.score(logits.row(row + i), token, asked.top_logprobs);
    Logprob entry{token, model_.encoder.bytes_of(token), scored.chosen.logprob, {}};
    for (const auto& top : scored.top) {
      entry.top.push_back({top.id, model_.encoder.bytes_of(top.id), top.logprob});
    }
    sequence.prompt_logprobs.push_back(std::move(entry));
  }
  if (end < length) return;
  if (asked.echo && asked.logprobs && sequence.generated() == 0) {
    const int32_t first = sequence.tokens[0];
    std::vector<Logprob> scores = {{first, model_.encoder.bytes_of(first), std::nullopt, {}}};
    std::ranges::move(sequence.prompt_logprobs, std::back_inserter(scores));
    sequence.request->send(Delta{
        sequence.choice, model_.encoder.tokenizer() ? model_.encoder.decode(sequence.tokens) : "",
        sequence.tokens, std::move(scores)});
    if (sequence.most_new <= 0) return end_choice(sequence, FinishReason::kLength, now);
  }
  draw(sequence, logits.row(row + chunk.outputs - 1), now);
}

void EngineCore::draw(EngineSequence& sequence, std::span<const float> logits, double now) {
  EngineRequest& request = *sequence.request;
  const auto index = static_cast<uint64_t>(sequence.generated());
  const int32_t id = sampler_.sample(logits, sequence.sampling, &sequence.history, index);
  if (!request.first_token) request.first_token = now;
  sequence.tokens.push_back(id);
  if (sequence.sampling.has_penalties()) sequence.history.add_generated(id);
  ++request.usage.completion_tokens;
  const bool is_end = !request.asked.ignore_eos &&
                      std::ranges::find(model_.end_tokens, id) != model_.end_tokens.end();
  if (is_end) return end_choice(sequence, FinishReason::kStop, now);

  Delta delta{sequence.choice, "", {id}, {}};
  if (request.asked.logprobs) {
    const auto scored = sampler_.score(logits, id, request.asked.top_logprobs);
    Logprob entry{id, model_.encoder.bytes_of(id), scored.chosen.logprob, {}};
    for (const auto& top : scored.top) {
      entry.top.push_back({top.id, model_.encoder.bytes_of(top.id), top.logprob});
    }
    delta.logprobs.push_back(std::move(entry));
  }
  if (sequence.text) delta.text = sequence.text->push(id);
  const bool stopped = sequence.text && sequence.text->stopped();
  request.send(std::move(delta));
  if (stopped) return end_choice(sequence, FinishReason::kStop, now);
  if (sequence.generated() >= sequence.most_new) {
    return end_choice(sequence, FinishReason::kLength, now);
  }
  scheduler_.append(sequence.id);
}

// ---------------------------------------------------------------- ends
void EngineCore::end_choice(EngineSequence& sequence, FinishReason reason, double now) {
  EngineRequest& request = *sequence.request;
  if (sequence.text) {
    if (std::string rest = sequence.text->finish(); !rest.empty()) {
      request.send(Delta{sequence.choice, std::move(rest), {}, {}});
    }
  }
  request.send(ChoiceEnd{sequence.choice, reason});
  sequence.ended = true;
  scheduler_.remove(sequence.id);
  sequence.blocks.clear();
  sequences_.erase(sequence.id);
  if (--request.open > 0) return;
  const double started = request.started.value_or(now);
  const double first = request.first_token.value_or(now);
  request.send(Done{request.usage, {started - request.arrived, first - started, now - first}});
  requests_.erase(request.id);
}

void EngineCore::fail(EngineRequest& request, Fault fault) {
  request.send(Failed{std::move(fault)});
  drop(request);
}

void EngineCore::drop(EngineRequest& request) {
  for (const auto& sequence : request.sequences) {
    if (sequence->ended) continue;
    scheduler_.remove(sequence->id);
    sequence->blocks.clear();
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

EngineStats EngineCore::stats() const {
  EngineStats stats;
  stats.running = scheduler_.running();
  stats.waiting = scheduler_.waiting();
  stats.kv_usage = 1.0 - static_cast<double>(pool_.free_blocks()) /
                             static_cast<double>(std::max<int64_t>(pool_.blocks(), 1));
  stats.prefix_queries = prefix_queries_;
  stats.prefix_hits = prefix_hits_;
  stats.preemptions = scheduler_.preemptions();
  return stats;
}

}  // namespace ashlar::serve
