// How a request gets into the engine: each choice becomes a sequence.
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

[[noreturn]] void refuse(FaultKind kind, std::string message, std::string param) {
  throw RequestError({kind, std::move(message), std::move(param), 1});
}

}  // namespace

void EngineCore::submit(RequestId id, GenerateRequest asked, std::vector<TokenIds> prompts,
                        std::shared_ptr<EventSink> sink, double now) {
  const auto fail_with = [&](Fault fault) { outbox_.emplace_back(sink, Failed{std::move(fault)}); };
  try {
    auto request = std::make_unique<EngineRequest>();
    request->id = id;
    request->asked = std::move(asked);
    request->sink = sink;
    request->arrived = now;
    admit(std::move(request), prompts, now);
  } catch (const RequestError& error) {
    fail_with(error.fault());
  } catch (const Error& error) {
    fail_with({FaultKind::kInvalid, error.what(), "", 1});
  } catch (const std::exception& error) {  // memory
    fail_with({FaultKind::kInternal, error.what(), "", 1});
  }
}

void EngineCore::admit(std::unique_ptr<EngineRequest> request, const std::vector<TokenIds>& prompts,
                       double now) {
  const GenerateRequest& asked = request->asked;
  if (!asked.stop.empty() && model_.encoder.tokenizer() == nullptr) {
    refuse(FaultKind::kUnsupported, "stop: this model came without a tokenizer", "stop");
  }
  const uint64_t seed = asked.sampling.seed ? *asked.sampling.seed : fresh_seed();
  for (size_t i = 0; i < prompts.size(); ++i) {
    add_choices(*request, asked.prompts[i], prompts[i], seed);
  }
  if (!scheduler_.queue_takes(asked.choices())) {
    refuse(FaultKind::kOverloaded, "the server's queue is full; try again later", "");
  }
  EngineRequest& accepted = *request;
  requests_[accepted.id] = std::move(request);
  queue(accepted, now);
}

void EngineCore::add_choices(EngineRequest& request, const Prompt& prompt, const TokenIds& ids,
                             uint64_t seed) {
  const GenerateRequest& asked = request.asked;
  const auto length = static_cast<int64_t>(ids.size());
  const char* const param = std::holds_alternative<ChatPrompt>(prompt) ? "messages" : "prompt";
  if (ids.empty()) {
    refuse(FaultKind::kInvalid, fmt::format("{}: empty; give at least one token", param), param);
  }
  const int64_t room = capacity() - length;
  if (room < 1) {
    refuse(FaultKind::kContextLength,
           fmt::format("the prompt has {} tokens, the context {}: no room for a new one; shorten "
                       "the prompt",
                       length, capacity()),
           param);
  }
  request.usage.prompt_tokens += length;
  for (int sample = 0; sample < asked.n; ++sample) {
    auto sequence = std::make_unique<EngineSequence>(pool_, identity_of(length));
    sequence->request = &request;
    sequence->id = ++last_sequence_;
    sequence->choice = static_cast<int>(request.sequences.size());
    sequence->tokens = ids;
    sequence->prompt_tokens = length;
    if (asked.echo) sequence->prompt_text = text_of(prompt, ids);
    sequence->most_new = std::clamp<int64_t>(asked.max_tokens.value_or(room), 0, room);
    sequence->sampling = sampling_params(asked.sampling, seed, sample);
    sequence->sampling.validate(runner_.vocab());
    if (sequence->sampling.has_penalties()) sequence->history.add_prompt(ids);
    if (model_.encoder.tokenizer() != nullptr) {
      sequence->text.emplace(*model_.encoder.tokenizer(), ids, asked.stop);
    }
    request.sequences.push_back(std::move(sequence));
  }
}

std::string EngineCore::text_of(const Prompt& prompt, const TokenIds& ids) const {
  if (const auto* text = std::get_if<TextPrompt>(&prompt)) return text->text;
  return model_.encoder.tokenizer() != nullptr ? model_.encoder.decode(ids) : std::string();
}

void EngineCore::queue(EngineRequest& request, double now) {
  const RequestId id = request.id;
  request.open = static_cast<int64_t>(request.sequences.size());
  send(request, Accepted{request.usage.prompt_tokens, model_.info.weight_version});
  SequenceId leader = 0;  // the first sample of a prompt computes it for the others
  for (const auto& sequence : request.sequences) {
    sequences_[sequence->id] = sequence.get();
    if (sequence->choice % request.asked.n == 0) leader = sequence->id;
    const bool scores = request.scores_prompt();
    if (request.asked.echo && !scores) {
      send(request, Delta{sequence->choice, sequence->prompt_text, sequence->tokens, {}});
    }
    if (sequence->most_new == 0 && !(scores && sequence->prompt_tokens > 1)) {
      if (scores) {  // its one token has no probability
        const int32_t token = sequence->tokens[0];
        send(request, Delta{sequence->choice,
                            sequence->prompt_text,
                            sequence->tokens,
                            {{token, model_.encoder.bytes_of(token), std::nullopt, {}}}});
      }
      end_choice(*sequence, FinishReason::kLength, now);
      if (!requests_.contains(id)) return;
      continue;
    }
    const auto admission =
        scheduler_.add({.id = sequence->id,
                        .arrived = now,
                        .tokens = sequence->prompt_tokens,
                        .most_tokens = sequence->prompt_tokens + sequence->most_new,
                        .scored = scores ? 0 : sequence->prompt_tokens - 1,
                        .after = leader == sequence->id ? 0 : leader});
    // The queue and the context were checked before.
    ASHLAR_DCHECK(admission == Scheduler::Admission::kQueued);
    (void)admission;
  }
}

}  // namespace ashlar::serve
