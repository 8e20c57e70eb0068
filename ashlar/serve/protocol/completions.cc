#include "ashlar/serve/protocol/completions.h"

#include "ashlar/serve/protocol/answer_fields.h"
#include "ashlar/serve/protocol/generate_fields.h"
#include "ashlar/serve/protocol/logprob_text.h"
#include "ashlar/serve/protocol/prompts.h"
#include "ashlar/serve/protocol/refused.h"

#include <algorithm>
#include <utility>

namespace ashlar::serve {
namespace {

constexpr int64_t kDefaultMaxTokens = 16;  // OpenAI's

// Four parallel arrays; `offset` counts the characters before the first token.
JsonValue logprobs_object(const std::vector<Logprob>& logprobs, int64_t offset) {
  JsonArray offsets, values, tokens, tops;
  for (const Logprob& entry : logprobs) {
    offsets.emplace_back(offset);
    offset += count_characters(entry.bytes);
    tokens.emplace_back(token_text(entry.bytes));
    values.push_back(entry.logprob ? JsonValue(finite_logprob(*entry.logprob)) : JsonValue());
    JsonObject top;
    for (const TopToken& token : entry.top) {
      const std::string text = token_text(token.bytes);
      const bool known = std::any_of(top.begin(), top.end(),
                                     [&](const JsonMember& member) { return member.key == text; });
      if (!known) top.push_back({text, finite_logprob(token.logprob)});
    }
    tops.push_back(entry.logprob ? JsonValue(std::move(top)) : JsonValue());
  }
  return JsonObject{{"text_offset", std::move(offsets)},
                    {"token_logprobs", std::move(values)},
                    {"tokens", std::move(tokens)},
                    {"top_logprobs", std::move(tops)}};
}

class CompletionFormat : public AnswerFormat {
 public:
  using AnswerFormat::AnswerFormat;

  std::string_view id_prefix() const override { return "cmpl-"; }

  std::string whole(const AnswerHead& head, std::span<const Choice> choices,
                    const Usage& usage) const override {
    JsonArray list;
    for (size_t i = 0; i < choices.size(); ++i) {
      const Choice& choice = choices[i];
      list.push_back(choice_object(static_cast<int>(i), choice.text, choice.ids,
                                   logprobs_of(choice.logprobs, 0), finish_reason(choice.reason)));
    }
    JsonObject body = envelope(head, std::move(list));
    body.push_back({"usage", usage_object(usage)});
    return to_text(std::move(body));
  }

  std::string opening(const AnswerHead&, int) const override { return ""; }

  std::string piece(const AnswerHead& head, const Delta& delta, int64_t offset) const override {
    return chunk(head, choice_object(delta.choice, delta.text, delta.ids,
                                     logprobs_of(delta.logprobs, offset), nullptr));
  }

  std::string ending(const AnswerHead& head, int choice, FinishReason reason) const override {
    return chunk(head, choice_object(choice, "", {}, nullptr, finish_reason(reason)));
  }

  std::string usage(const AnswerHead& head, const Usage& usage) const override {
    JsonObject body = envelope(head, {});
    body.push_back({"usage", usage_object(usage)});
    return to_text(std::move(body));
  }

 private:
  static JsonObject envelope(const AnswerHead& head, JsonArray choices) {
    return {{"id", head.id},
            {"object", "text_completion"},
            {"created", head.created},
            {"model", head.model},
            {"system_fingerprint", head.fingerprint},
            {"choices", std::move(choices)}};
  }

  JsonValue logprobs_of(const std::vector<Logprob>& logprobs, int64_t offset) const {
    return options().logprobs ? logprobs_object(logprobs, offset) : JsonValue();
  }

  JsonObject choice_object(int index, const std::string& text, const TokenIds& ids,
                           JsonValue logprobs, JsonValue reason) const {
    JsonObject choice{{"index", index},
                      {"text", text},
                      {"logprobs", std::move(logprobs)},
                      {"finish_reason", std::move(reason)}};
    if (options().return_token_ids) choice.push_back({"token_ids", id_array(ids)});
    return choice;
  }

  std::string chunk(const AnswerHead& head, JsonObject choice) const {
    JsonObject body = envelope(head, {JsonValue(std::move(choice))});
    if (options().include_usage) body.push_back({"usage", nullptr});
    return to_text(std::move(body));
  }
};

}  // namespace

GenerateCall parse_completion(std::string_view text, const RequestRules& rules) {
  const JsonValue value = parse_json(text, rules.json);
  const Fields body(value);
  refuse_completion_fields(body);
  GenerateCall call;
  GenerateRequest& request = call.request;
  request.prompts = read_prompts(body, "prompt", rules);
  read_generate_fields(body, rules, call);
  check_choices(request, rules, "prompt");
  request.echo = body.boolean("echo").value_or(false);
  // Scoring a prompt: echo with nothing new.
  const int64_t least = request.echo ? 0 : 1;
  request.max_tokens = read_token_limit(body, "max_tokens", least).value_or(kDefaultMaxTokens);
  if (const auto top = body.integer("logprobs", 0, rules.max_top_logprobs)) {
    request.logprobs = true;
    request.top_logprobs = static_cast<int>(*top);
  }
  call.format = std::make_unique<CompletionFormat>(read_answer_options(body, call));
  refuse_unknown_fields(body);
  return call;
}

}  // namespace ashlar::serve
