// A request while it runs: its choices, each a sequence of tokens, and what was counted of them.
#pragma once

#include "ashlar/generate/block_table.h"
#include "ashlar/generate/sampling_params.h"
#include "ashlar/generate/text_stream.h"
#include "ashlar/generate/token_history.h"
#include "ashlar/serve/backend.h"
#include "ashlar/serve/policy/cache_space.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::serve {

struct EngineRequest;

// One choice.
struct EngineSequence {
  EngineRequest* request = nullptr;
  SequenceId id = 0;
  int choice = 0;
  std::vector<int32_t> tokens;  // the prompt, then what was drawn
  int64_t prompt_tokens = 0;
  std::string prompt_text;  // to be echoed
  int64_t most_new = 0;
  generate::SamplingParams sampling;
  generate::TokenHistory history;
  std::optional<generate::TextStream> text;
  generate::BlockTable blocks;
  int64_t cached_tokens = 0;             // found in the cache when last admitted
  std::vector<Logprob> prompt_logprobs;  // of an echoed prompt, as far as computed
  bool ended = false;

  EngineSequence(generate::KvPool& pool, const generate::CacheIdentity& identity)
      : blocks(pool, identity) {}
  int64_t generated() const { return static_cast<int64_t>(tokens.size()) - prompt_tokens; }
};

struct EngineRequest {
  RequestId id = 0;
  GenerateRequest asked;
  std::shared_ptr<EventSink> sink;
  std::vector<std::unique_ptr<EngineSequence>> sequences;
  int64_t open = 0;  // choices that have not ended
  Usage usage;
  double arrived = 0;
  std::optional<double> started, first_token;

  bool scores_prompt() const { return asked.echo && asked.logprobs; }
};

}  // namespace ashlar::serve
