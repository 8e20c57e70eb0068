// The plain decode loop, one sequence at a time: `ashlar run` and `chat`, samples while training.
// Prompts that begin as earlier ones did (a chat's turns) find their keys in the cache.
#pragma once

#include "ashlar/generate/model_runner.h"
#include "ashlar/generate/sampler.h"
#include "ashlar/text/tokenizer.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ashlar::generate {

struct GenerateOptions {
  SamplingParams sampling;
  std::optional<int64_t> max_new;   // none: until the context is full
  std::vector<int32_t> end_tokens;  // generation ends at any of these
  bool ignore_end_tokens = false;
  std::vector<std::string> stop;  // needs a tokenizer
};

enum class StopReason {
  kEndToken,
  kStopString,
  kLength,     // max_new, or the context is full
  kCancelled,  // the callback wanted no more
};

struct Generated {
  std::vector<int32_t> ids;  // with the end token, if that ended it
  std::string text;          // without it; empty without a tokenizer
  StopReason reason = StopReason::kLength;
  int64_t cached_tokens = 0;  // of the prompt, found in the cache
};

class Generator {
 public:
  // The runner outlives this; nobody else runs it meanwhile with the same blocks.
  explicit Generator(ModelRunner& runner, const text::Tokenizer* tokenizer = nullptr);

  // After each token: its id and the text that became certain; all texts together are
  // Generated::text unless it was cancelled. False ends the generation.
  using OnToken = std::function<bool(int32_t id, const std::string& text)>;

  // Throws Error for an empty prompt, one that leaves no room for a token, and bad options.
  Generated generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                     const OnToken& on_token = nullptr);

  // What is cached was computed with other weights and is not used any more.
  void weights_changed() { ++identity_.weight_version; }

 private:
  // Computes tokens from `computed` on; the logits of the last.
  std::span<const float> compute(const std::vector<int32_t>& tokens, int64_t computed,
                                 BlockTable& table);

  ModelRunner& runner_;
  const text::Tokenizer* tokenizer_;
  KvPool pool_;
  CacheIdentity identity_;
  Sampler sampler_;
};

}  // namespace ashlar::generate
