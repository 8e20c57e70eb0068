#include "ashlar/serve/protocol/chat.h"

#include "ashlar/serve/protocol/answer_fields.h"
#include "ashlar/serve/protocol/generate_fields.h"
#include "ashlar/serve/protocol/logprob_text.h"
#include "ashlar/serve/protocol/prompts.h"
#include "ashlar/serve/protocol/refused.h"

#include <utility>

namespace ashlar::serve {
namespace {

JsonObject token_object(const std::string& bytes, double logprob) {
  return {{"token", token_text(bytes)},
          {"logprob", finite_logprob(logprob)},
          {"bytes", byte_values(bytes)}};
}

JsonValue logprobs_object(const std::vector<Logprob>& logprobs) {
  JsonArray content;
  for (const Logprob& entry : logprobs) {
    JsonArray top;
    for (const TopToken& token : entry.top) {
      top.emplace_back(token_object(token.bytes, token.logprob));
    }
    JsonObject object = token_object(entry.bytes, entry.logprob.value_or(0));
    object.push_back({"top_logprobs", std::move(top)});
    content.emplace_back(std::move(object));
  }
  return JsonObject{{"content", std::move(content)}, {"refusal", nullptr}};
}

class ChatFormat : public AnswerFormat {
 public:
  using AnswerFormat::AnswerFormat;

  std::string_view id_prefix() const override { return "chatcmpl-"; }

  std::string whole(const AnswerHead& head, std::span<const Choice> choices,
                    const Usage& usage) const override {
    JsonArray list;
    for (size_t i = 0; i < choices.size(); ++i) {
      const Choice& choice = choices[i];
      JsonObject message{{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
      JsonObject object{{"index", i},
                        {"message", std::move(message)},
                        {"logprobs", logprobs_of(choice.logprobs)},
                        {"finish_reason", finish_reason(choice.reason)}};
      if (options().return_token_ids) object.push_back({"token_ids", id_array(choice.ids)});
      list.emplace_back(std::move(object));
    }
    JsonObject body = envelope(head, "chat.completion", std::move(list));
    body.push_back({"usage", usage_object(usage)});
    return to_text(std::move(body));
  }

  std::string opening(const AnswerHead& head, int choice) const override {
    return chunk(head, choice, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr, {});
  }

  std::string piece(const AnswerHead& head, const Delta& delta, int64_t) const override {
    return chunk(head, delta.choice, {{"content", delta.text}}, logprobs_of(delta.logprobs),
                 nullptr, delta.ids);
  }

  std::string ending(const AnswerHead& head, int choice, FinishReason reason) const override {
    return chunk(head, choice, {}, nullptr, finish_reason(reason), {});
  }

  std::string usage(const AnswerHead& head, const Usage& usage) const override {
    JsonObject body = envelope(head, kChunk, {});
    body.push_back({"usage", usage_object(usage)});
    return to_text(std::move(body));
  }

 private:
  static constexpr const char* kChunk = "chat.completion.chunk";

  static JsonObject envelope(const AnswerHead& head, const char* object, JsonArray choices) {
    return {{"id", head.id},
            {"object", object},
            {"created", head.created},
            {"model", head.model},
            {"system_fingerprint", head.fingerprint},
            {"choices", std::move(choices)}};
  }

  JsonValue logprobs_of(const std::vector<Logprob>& logprobs) const {
    return options().logprobs ? logprobs_object(logprobs) : JsonValue();
  }

  std::string chunk(const AnswerHead& head, int index, JsonObject delta, JsonValue logprobs,
                    JsonValue reason, const TokenIds& ids) const {
    JsonObject choice{{"index", index},
                      {"delta", std::move(delta)},
                      {"logprobs", std::move(logprobs)},
                      {"finish_reason", std::move(reason)}};
    if (options().return_token_ids) choice.push_back({"token_ids", id_array(ids)});
    JsonObject body = envelope(head, kChunk, {JsonValue(std::move(choice))});
    if (options().include_usage) body.push_back({"usage", nullptr});
    return to_text(std::move(body));
  }
};

}  // namespace

GenerateCall parse_chat(std::string_view text, const RequestRules& rules) {
  const JsonValue value = parse_json(text, rules.json);
  const Fields body(value);
  refuse_chat_fields(body);
  GenerateCall call;
  GenerateRequest& request = call.request;
  request.prompts.emplace_back(read_chat_prompt(body));
  read_generate_fields(body, rules, call);
  check_choices(request, rules, "n");
  // max_tokens is the older name of max_completion_tokens.
  request.max_tokens = read_token_limit(body, "max_completion_tokens", 1);
  const auto older = read_token_limit(body, "max_tokens", 1);
  if (request.max_tokens && older && *older != *request.max_tokens) {
    refuse_field("max_tokens", "differs from max_completion_tokens; give one of them");
  }
  if (!request.max_tokens) request.max_tokens = older;
  request.logprobs = body.boolean("logprobs").value_or(false);
  if (const auto top = body.integer("top_logprobs", 0, rules.max_top_logprobs)) {
    if (!request.logprobs && *top > 0) {
      refuse_field("top_logprobs", "is only for logprobs; set logprobs to true or leave it out");
    }
    request.top_logprobs = static_cast<int>(*top);
  }
  call.format = std::make_unique<ChatFormat>(read_answer_options(body, call));
  refuse_unknown_fields(body);
  return call;
}

}  // namespace ashlar::serve
