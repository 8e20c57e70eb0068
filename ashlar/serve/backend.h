// The narrow door between the HTTP layer and whatever generates: the engine, or a script in tests.
// Every call is made by the HTTP thread and must return at once: long work (tokenising, queueing,
// running) happens on the backend's own thread, and results come back through sinks and replies,
// which may be called from any thread, never block and never throw. The backend outlives the
// server.
#pragma once

#include "ashlar/base/error.h"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ashlar::serve {

using TokenIds = std::vector<int32_t>;
using RequestId = uint64_t;

// ---- What can go wrong with one request ----

enum class FaultKind {
  kInvalid,        // the request is wrong; `param` names the field
  kContextLength,  // the prompt leaves no room for a token in the model's context
  kModelNotFound,  // no model of that name here
  kUnsupported,    // right, but nothing this backend can do
  kOverloaded,     // the queue is full; try again after `retry_after_s`
  kNotReady,       // still loading
  kShuttingDown,   // draining: takes nothing new, or ended before it was done
  kInternal,       // our fault
};

struct Fault {
  FaultKind kind = FaultKind::kInternal;
  std::string message;
  std::string param;         // the field of the request, e.g. "messages[2].content"; may be empty
  double retry_after_s = 1;  // for kOverloaded and kNotReady
};

// A Fault as an exception: what parsing and Backend::submit throw.
class RequestError : public Error {
 public:
  explicit RequestError(Fault fault) : Error(fault.message), fault_(std::move(fault)) {}
  const Fault& fault() const { return fault_; }

 private:
  Fault fault_;
};

// ---- What is asked for ----

struct TextPrompt {
  std::string text;
  bool add_special_tokens = true;
};

struct ChatMessage {
  std::string role;  // system, user or assistant
  std::string content;
  std::string name;                     // may be empty, and so may what follows
  std::string reasoning = {};           // what an assistant thought, for templates that show it
  std::vector<std::string> parts = {};  // texts that came apart; `content` is them, a line each
};

struct ChatPrompt {
  std::vector<ChatMessage> messages;
  bool add_generation_prompt = true;
  bool continue_final_message = false;
  std::string template_arguments;  // further variables for the template: a JSON object, or empty
};

using Prompt = std::variant<TextPrompt, TokenIds, ChatPrompt>;

struct Sampling {
  double temperature = 1;  // 0: the most likely token
  double top_p = 1;        // in [0, 1]; 0 keeps one token
  int64_t top_k = 0;       // 0: all
  double min_p = 0;
  double presence_penalty = 0;
  double frequency_penalty = 0;
  double repetition_penalty = 1;
  std::optional<uint64_t> seed;  // none: the backend picks one
  std::vector<std::pair<int32_t, double>> logit_bias;
};

// One or more prompts with one set of options, admitted together or not at all. Prompt p and sample
// k (below n) give choice p * n + k.
struct GenerateRequest {
  std::vector<Prompt> prompts;
  int n = 1;
  std::optional<int64_t> max_tokens;  // per choice; none: until the context is full
  Sampling sampling;
  std::vector<std::string> stop;  // the text ends before the first of these
  bool ignore_eos = false;
  bool logprobs = false;
  int top_logprobs = 0;    // alternatives per token, in Logprob::top
  bool echo = false;       // the first Delta of each choice is the prompt itself
  std::string request_id;  // x-request-id, for logs

  int choices() const { return static_cast<int>(prompts.size()) * n; }
};

struct EmbedRequest {
  std::vector<Prompt> inputs;
  std::optional<int64_t> dimensions;
};

// ---- What comes back ----

enum class FinishReason { kStop, kLength };

struct TopToken {
  int32_t id = 0;
  std::string bytes;  // the token's bytes, not always whole UTF-8 characters
  double logprob = 0;
};

struct Logprob {
  int32_t id = 0;
  std::string bytes;
  std::optional<double> logprob;  // none: the first token of an echoed prompt
  std::vector<TopToken> top;      // most likely first
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;       // of the prompt, found in the prefix cache
  int64_t longest_completion = 0;  // tokens of the choice that has most
};

struct Timings {
  double queue_s = 0;
  double prefill_s = 0;
  double decode_s = 0;
};

// The events of a request, in order: Accepted; Deltas, and one ChoiceEnd for each choice; Done.
// Failed may come at any time and is then the last. After cancel() nothing need come.
struct Accepted {  // tokenised, checked and queued: from here on a stream is open
  int64_t prompt_tokens = 0;
  std::string weight_version;  // empty: ModelInfo's
};
struct Delta {
  int choice = 0;
  std::string text;  // whole UTF-8 characters; empty while a character or a stop string is open
  TokenIds ids;
  std::vector<Logprob> logprobs;  // one per id when asked for
};
struct ChoiceEnd {
  int choice = 0;
  FinishReason reason = FinishReason::kStop;
};
struct Done {
  Usage usage;
  Timings timings;
};
struct Failed {
  Fault fault;
};
using Event = std::variant<Accepted, Delta, ChoiceEnd, Done, Failed>;

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on_event(Event event) noexcept = 0;
};

// Called once, from any thread, with the result or the fault.
template <typename T>
using Reply = std::function<void(std::variant<T, Fault>)>;

struct Embeddings {
  std::vector<std::vector<float>> vectors;  // one per input
  int64_t prompt_tokens = 0;
};

// ---- What a server shows of itself ----

struct ModelInfo {
  std::string id;
  int64_t created = 0;  // Unix time
  int64_t context_length = 0;
  int64_t vocab_size = 0;
  std::string weight_version;
  Sampling defaults;  // for what a request leaves open, e.g. from generation_config.json
};

struct Health {
  bool live = true;       // the engine's thread runs
  bool ready = true;      // weights are loaded
  std::string stage{};    // what loading is at, e.g. "packing weights"
  double fraction = 1;    // of that stage
  double stalled_s = 0;   // for how long work has been pending without a finished step
  std::string problem{};  // one line when not live
};

// How many steps computed how many tokens, of prompts and of answers alike.
struct StepTokens {
  static constexpr std::array<int64_t, 13> kAtMost = {1,   8,    16,   32,   64,   128,  256,
                                                      512, 1024, 2048, 4096, 8192, 16384};
  std::array<int64_t, kAtMost.size() + 1> steps{};  // the last: of more
  int64_t tokens = 0;                               // of all

  void add(int64_t step);
};

struct EngineStats {
  int64_t running = 0;
  int64_t waiting = 0;
  double kv_usage = 0;         // 0 to 1
  int64_t prefix_queries = 0;  // tokens looked up in the prefix cache, and found
  int64_t prefix_hits = 0;
  int64_t preemptions = 0;
  int64_t prompt_tokens = 0;  // of prompts begun, and written, whatever became of the requests
  int64_t generation_tokens = 0;
  int64_t cache_blocks = 0;  // of the KV cache, and the tokens of one; 0: there is none yet
  int64_t block_tokens = 0;
  StepTokens step_tokens{};
};

class Backend {
 public:
  virtual ~Backend() = default;

  // Queues the request; throws RequestError (kOverloaded when the bounded queue is full). Anything
  // that needs the tokenizer is checked later and comes as Failed.
  virtual RequestId submit(GenerateRequest request, std::shared_ptr<EventSink> sink) = 0;
  // The client is gone: frees the slot and drops the sink. Ids that are done or unknown are
  // ignored.
  virtual void cancel(RequestId id) = 0;

  virtual void tokenize(Prompt prompt, Reply<TokenIds> reply) = 0;
  virtual void detokenize(TokenIds ids, Reply<std::string> reply) = 0;

  virtual bool can_embed() const { return false; }
  virtual void embed(EmbedRequest, Reply<Embeddings> reply) {
    reply(Fault{FaultKind::kUnsupported, "this model gives no embeddings", "", 1});
  }

  virtual std::vector<ModelInfo> models() const = 0;  // at least one; the first is the default
  virtual Health health() const = 0;
  virtual EngineStats stats() const = 0;
};

}  // namespace ashlar::serve
