// A parsed request for text, and the shape of its answer. Parsing is a pure function from JSON
// text; an AnswerFormat turns results into JSON text, whole or as the chunks of a stream.
#pragma once

#include "ashlar/serve/backend.h"
#include "ashlar/serve/protocol/rules.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::serve {

// What every chunk of an answer repeats.
struct AnswerHead {
  std::string id;  // "cmpl-..." or "chatcmpl-..."
  std::string model;
  int64_t created = 0;  // Unix time
  std::string fingerprint;
};

struct Choice {
  std::string text;
  TokenIds ids;
  std::vector<Logprob> logprobs;
  FinishReason reason = FinishReason::kStop;
};

// What the client wants to see beside the text.
struct AnswerOptions {
  bool logprobs = false;
  bool include_usage = false;     // a last chunk with the usage
  bool return_token_ids = false;  // an extra field "token_ids", only when asked for
};

class AnswerFormat {
 public:
  explicit AnswerFormat(AnswerOptions options) : options_(options) {}
  virtual ~AnswerFormat() = default;
  const AnswerOptions& options() const { return options_; }

  virtual std::string_view id_prefix() const = 0;
  virtual std::string whole(const AnswerHead& head, std::span<const Choice> choices,
                            const Usage& usage) const = 0;

  // The chunks of a stream. `opening` comes before the first piece of a choice; empty when this
  // format has none. `offset` counts the characters of the choice sent before.
  virtual std::string opening(const AnswerHead& head, int choice) const = 0;
  virtual std::string piece(const AnswerHead& head, const Delta& delta, int64_t offset) const = 0;
  virtual std::string ending(const AnswerHead& head, int choice, FinishReason reason) const = 0;
  virtual std::string usage(const AnswerHead& head, const Usage& usage) const = 0;

 private:
  AnswerOptions options_;
};

struct GenerateCall {
  GenerateRequest request;
  std::string model;  // as the client named it; empty: the default
  bool stream = false;
  std::unique_ptr<AnswerFormat> format;
};

}  // namespace ashlar::serve
