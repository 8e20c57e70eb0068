// One step of the engine: the plan's pieces run on the model, each wanted row of logits is worked
// on by whatever thread is free, and what came of it is applied in order.
#include "ashlar/base/log.h"
#include "ashlar/serve/engine_core.h"

#include <algorithm>
#include <iterator>

namespace ashlar::serve {

void EngineCore::step(const Clock& clock) {
  const StepPlan plan = scheduler_.schedule(clock.now());
  if (plan.chunks.empty()) return;
  note_starts(plan, clock.now());
  try {
    run_model(plan);
  } catch (const std::exception& error) {
    // The step failed, not one request's part of it: those in it end, the rest goes on.
    log::error("engine step failed sequences={} error=\"{}\"", plan.chunks.size(), error.what());
    for (const ScheduledChunk& chunk : plan.chunks) {
      const auto found = sequences_.find(chunk.id);
      if (found == sequences_.end()) continue;
      fail(*found->second->request, {FaultKind::kInternal, error.what(), "", 1});
    }
    return;
  }
  int64_t tokens = 0;
  for (const ScheduledChunk& chunk : plan.chunks) tokens += chunk.tokens;
  step_tokens_.add(tokens);
  const double now = clock.now();
  for (RowWork& work : rows_) {
    if (work.sequence != nullptr) apply(work, now);
  }
}

void EngineCore::note_starts(const StepPlan& plan, double now) {
  for (const SequenceId id : plan.started) {
    EngineSequence& sequence = *sequences_.at(id);
    EngineRequest& request = *sequence.request;
    if (!request.started) request.started = now;
    prefix_queries_ += sequence.prompt_tokens;
    prefix_hits_ += sequence.cached_tokens;
    // Later samples find the first one's work: of the client's prompt nothing was cached by that.
    if (sequence.choice % request.asked.n == 0) {
      request.usage.cached_tokens += sequence.cached_tokens;
      prompt_tokens_ += sequence.prompt_tokens;
    }
  }
}

void EngineCore::run_model(const StepPlan& plan) {
  pieces_.clear();
  for (const ScheduledChunk& chunk : plan.chunks) {
    const EngineSequence& sequence = *sequences_.at(chunk.id);
    const std::span<const int32_t> tokens = sequence.tokens;
    pieces_.push_back(
        {tokens.subspan(static_cast<size_t>(chunk.position), static_cast<size_t>(chunk.tokens)),
         chunk.position, sequence.blocks.blocks(), chunk.outputs,
         static_cast<int64_t>(tokens.size())});
  }
  logits_ = runner_.run(pieces_);
  scheduler_.completed(plan);

  rows_.clear();
  int64_t row = 0;
  for (const ScheduledChunk& chunk : plan.chunks) {
    EngineSequence& sequence = *sequences_.at(chunk.id);
    sequence.blocks.publish(sequence.tokens, chunk.position + chunk.tokens);
    add_row_work(chunk, row);
    row += chunk.outputs;
  }
  runner_.pool().parallel_for(static_cast<int64_t>(rows_.size()), [&](int64_t task, int thread) {
    work_on_row(rows_[static_cast<size_t>(task)], samplers_[static_cast<size_t>(thread)]);
  });
}

void EngineCore::add_row_work(const ScheduledChunk& chunk, int64_t first_row) {
  EngineSequence& sequence = *sequences_.at(chunk.id);
  const int64_t end = chunk.position + chunk.tokens;
  for (int64_t i = 0; i < chunk.outputs; ++i) {
    // The row after token t - 1 is about token t.
    const auto t = static_cast<size_t>(end - chunk.outputs + i + 1);
    RowWork work;
    work.sequence = &sequence;
    work.row = first_row + i;
    work.draws = t == sequence.tokens.size();
    if (!work.draws) work.token = sequence.tokens[t];
    rows_.push_back(std::move(work));
  }
}

// Runs inside the pool, where nothing may be thrown.
void EngineCore::work_on_row(RowWork& work, generate::Sampler& sampler) const {
  const EngineSequence& sequence = *work.sequence;
  const GenerateRequest& asked = sequence.request->asked;
  const std::span<const float> logits = logits_.row(work.row);
  try {
    if (work.draws && sequence.most_new > 0) {
      work.token = sampler.sample(logits, sequence.sampling, &sequence.history,
                                  static_cast<uint64_t>(sequence.generated()));
    } else if (work.draws) {
      return;  // the prompt was only to be scored
    }
    if (asked.logprobs) work.score = sampler.score(logits, work.token, asked.top_logprobs);
  } catch (const std::exception& error) {
    work.error = error.what();
  }
}

void EngineCore::apply(RowWork& work, double now) {
  EngineSequence& sequence = *work.sequence;
  EngineRequest& request = *sequence.request;
  if (!work.error.empty()) {
    for (RowWork& other : rows_) {  // its other rows go with it
      if (&other != &work && other.sequence != nullptr && other.sequence->request == &request) {
        other.sequence = nullptr;
      }
    }
    return fail(request, {FaultKind::kInternal, work.error, "", 1});
  }
  if (!work.draws) {
    sequence.prompt_logprobs.push_back(logprob_entry(*work.score));
    return;
  }
  if (request.scores_prompt() && sequence.generated() == 0) {
    const int32_t first = sequence.tokens[0];
    std::vector<Logprob> scores = {{first, model_.encoder.bytes_of(first), std::nullopt, {}}};
    std::ranges::move(sequence.prompt_logprobs, std::back_inserter(scores));
    send(request, Delta{sequence.choice, sequence.prompt_text, sequence.tokens, std::move(scores)});
  }
  if (sequence.most_new == 0) return end_choice(sequence, FinishReason::kLength, now);
  add_token(sequence, work, now);
}

void EngineCore::add_token(EngineSequence& sequence, RowWork& work, double now) {
  EngineRequest& request = *sequence.request;
  if (!request.first_token) request.first_token = now;
  sequence.tokens.push_back(work.token);
  if (sequence.sampling.has_penalties()) sequence.history.add_generated(work.token);
  ++request.usage.completion_tokens;
  ++generation_tokens_;
  if (!request.asked.ignore_eos &&
      std::ranges::find(model_.end_tokens, work.token) != model_.end_tokens.end()) {
    return end_choice(sequence, FinishReason::kStop, now);
  }
  Delta delta{sequence.choice, "", {work.token}, {}};
  if (work.score) delta.logprobs.push_back(logprob_entry(*work.score));
  if (sequence.text) delta.text = sequence.text->push(work.token);
  send(request, std::move(delta));
  if (sequence.text && sequence.text->stopped()) {
    return end_choice(sequence, FinishReason::kStop, now);
  }
  if (sequence.generated() >= sequence.most_new) {
    return end_choice(sequence, FinishReason::kLength, now);
  }
  const auto length = static_cast<int64_t>(sequence.tokens.size());
  if (runner_.is_long(length) == runner_.is_long(length - 1)) {
    return scheduler_.append(sequence.id);
  }
  scheduler_.append_anew(sequence.id);
  sequence.blocks = generate::BlockTable(pool_, identity_of(length));
}

Logprob EngineCore::logprob_entry(const generate::ScoredToken& score) const {
  const PromptEncoder& encoder = model_.encoder;
  Logprob entry{score.chosen.id, encoder.bytes_of(score.chosen.id), score.chosen.logprob, {}};
  for (const generate::TokenLogprob& top : score.top) {
    entry.top.push_back({top.id, encoder.bytes_of(top.id), top.logprob});
  }
  return entry;
}

}  // namespace ashlar::serve
