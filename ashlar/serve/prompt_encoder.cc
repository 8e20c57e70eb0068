#include "ashlar/serve/prompt_encoder.h"

#include <nlohmann/json.hpp>

namespace ashlar::serve {
namespace {

[[noreturn]] void refuse(FaultKind kind, std::string message, std::string param) {
  throw RequestError({kind, std::move(message), std::move(param)});
}

std::string messages_json(const std::vector<ChatMessage>& messages) {
  auto list = nlohmann::ordered_json::array();
  for (const ChatMessage& message : messages) {
    nlohmann::ordered_json entry = {{"role", message.role}, {"content", message.content}};
    if (!message.name.empty()) entry["name"] = message.name;
    list.push_back(std::move(entry));
  }
  return list.dump();
}

}  // namespace

PromptEncoder::PromptEncoder(std::optional<text::Tokenizer> tokenizer,
                             std::optional<text::ChatTemplate> chat_template,
                             text::SpecialTokens special_tokens, int64_t vocab)
    : tokenizer_(std::move(tokenizer)),
      chat_template_(std::move(chat_template)),
      special_tokens_(std::move(special_tokens)),
      vocab_(vocab) {}

const text::Tokenizer& PromptEncoder::need_tokenizer() const {
  if (!tokenizer_) {
    refuse(FaultKind::kUnsupported,
           "this model came without a tokenizer.json: give the prompt as token ids", "prompt");
  }
  return *tokenizer_;
}

TokenIds PromptEncoder::encode(const Prompt& prompt) const {
  TokenIds ids;
  if (const auto* text = std::get_if<TextPrompt>(&prompt)) {
    ids = need_tokenizer().encode(text->text, text->add_special_tokens);
  } else if (const auto* chat = std::get_if<ChatPrompt>(&prompt)) {
    ids = encode_chat(*chat);
  } else {
    ids = std::get<TokenIds>(prompt);
  }
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_) {
      refuse(FaultKind::kInvalid,
             fmt::format("prompt: token id {} is outside the vocabulary of {} tokens", id, vocab_),
             "prompt");
    }
  }
  return ids;
}

TokenIds PromptEncoder::encode_chat(const ChatPrompt& chat) const {
  if (!chat_template_) {
    refuse(FaultKind::kUnsupported,
           "this model has no chat template: use /v1/completions, or start the server with a "
           "template",
           "messages");
  }
  if (chat.continue_final_message) {
    refuse(FaultKind::kUnsupported, "continue_final_message: not supported by this server",
           "continue_final_message");
  }
  try {
    text::ChatRequest request;
    request.messages = text::jinja::parse_json(messages_json(chat.messages), "messages");
    request.add_generation_prompt = chat.add_generation_prompt;
    request.special_tokens = special_tokens_;
    if (!chat.template_arguments.empty()) {
      request.extra = text::jinja::parse_json(chat.template_arguments, "chat_template_kwargs");
    }
    // The template writes the special tokens itself.
    return need_tokenizer().encode(chat_template_->render(request), false);
  } catch (const RequestError&) {
    throw;
  } catch (const Error& error) {
    refuse(FaultKind::kInvalid, fmt::format("messages: {}", error.what()), "messages");
  }
}

std::string PromptEncoder::decode(const TokenIds& ids) const {
  return need_tokenizer().decode(ids, false);
}

// Some decoders drop the space at a text's beginning, so the token is looked at behind itself.
std::string PromptEncoder::bytes_of(int32_t id) const {
  if (!tokenizer_) return {};
  const int32_t twice[] = {id, id};
  const std::string once = tokenizer_->decode_bytes({twice, 1}, false);
  std::string both = tokenizer_->decode_bytes(twice, false);
  return both.starts_with(once) ? both.substr(once.size()) : once;
}

}  // namespace ashlar::serve
