#include "ashlar/serve/protocol/tokenize.h"

#include "ashlar/serve/protocol/answer_fields.h"
#include "ashlar/serve/protocol/prompts.h"
#include "ashlar/serve/protocol/refused.h"

#include <utility>

namespace ashlar::serve {

TokenizeCall parse_tokenize(std::string_view text, const RequestRules& rules) {
  const JsonValue value = parse_json(text, rules.json);
  const Fields body(value);
  TokenizeCall call;
  call.model = body.string("model").value_or("");
  if (body.find("messages") != nullptr) {
    if (body.find("prompt") != nullptr) refuse_field("prompt", "is given together with messages");
    call.prompt = read_chat_prompt(body);
    refuse_unknown_fields(body);
    return call;
  }
  auto prompt = body.string("prompt");
  if (!prompt) body.refuse("prompt", "a string (or give messages)");
  call.prompt = TextPrompt{*std::move(prompt), body.boolean("add_special_tokens").value_or(true)};
  refuse_unknown_fields(body);
  return call;
}

DetokenizeCall parse_detokenize(std::string_view text, const RequestRules& rules) {
  const JsonValue value = parse_json(text, rules.json);
  const Fields body(value);
  const JsonArray* tokens = body.array("tokens");
  if (tokens == nullptr) body.refuse("tokens", "an array of token ids");
  DetokenizeCall call{read_token_ids(*tokens, "tokens", rules), body.string("model").value_or("")};
  refuse_unknown_fields(body);
  return call;
}

std::string tokenize_body(const TokenIds& ids, int64_t context_length) {
  return to_text(JsonObject{
      {"count", ids.size()}, {"max_model_len", context_length}, {"tokens", id_array(ids)}});
}

std::string detokenize_body(const std::string& text) {
  return to_text(JsonObject{{"prompt", text}});
}

}  // namespace ashlar::serve
