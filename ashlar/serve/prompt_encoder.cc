#include "ashlar/serve/prompt_encoder.h"

#include <nlohmann/json.hpp>

namespace ashlar::serve {
namespace {

[[noreturn]] void refuse(FaultKind kind, std::string message, std::string param) {
  throw RequestError({kind, std::move(message), std::move(param)});
}

// Put behind the message to be continued, it marks where that message ends in the rendered text. A
// template that trims its messages takes the blank away.
constexpr std::string_view kEndMark = "\uE000end of the final message\uE000 ";

nlohmann::ordered_json content_of(const ChatMessage& message, bool as_parts) {
  if (!as_parts || message.parts.empty()) return message.content;
  auto parts = nlohmann::ordered_json::array();
  for (const std::string& text : message.parts) parts.push_back({{"type", "text"}, {"text", text}});
  return parts;
}

std::string messages_json(const ChatPrompt& chat, bool as_parts) {
  std::vector<ChatMessage> messages = chat.messages;
  if (chat.continue_final_message) {
    ChatMessage& last = messages.back();
    last.content += kEndMark;
    if (!last.parts.empty()) last.parts.back() += kEndMark;
  }
  auto list = nlohmann::ordered_json::array();
  for (const ChatMessage& message : messages) {
    nlohmann::ordered_json entry = {{"role", message.role},
                                    {"content", content_of(message, as_parts)}};
    if (!message.name.empty()) entry["name"] = message.name;
    for (const char* key : {"reasoning_content", "thinking"}) {  // one is what the template reads
      if (!message.reasoning.empty()) entry[key] = message.reasoning;
    }
    list.push_back(std::move(entry));
  }
  return list.dump();
}

// What the template writes behind the final message (its end token, mostly) goes; so do blanks at
// the message's end where the template would not have kept them.
void cut_after_final_message(std::string& text) {
  constexpr std::string_view kTrimmedMark = kEndMark.substr(0, kEndMark.size() - 1);
  const size_t end = text.rfind(kTrimmedMark);
  if (end == std::string::npos) {
    refuse(FaultKind::kInvalid,
           "continue_final_message: the chat template does not write out the final message",
           "continue_final_message");
  }
  const bool kept_as_it_is = text.compare(end, kEndMark.size(), kEndMark) == 0;
  text.erase(end);
  if (!kept_as_it_is) text.erase(text.find_last_not_of(" \t\r\n") + 1);
}

}  // namespace

PromptEncoder::PromptEncoder(std::optional<text::Tokenizer> tokenizer,
                             std::optional<text::ChatTemplate> chat_template,
                             text::SpecialTokens special_tokens, int64_t vocab, int64_t context)
    : tokenizer_(std::move(tokenizer)),
      chat_template_(std::move(chat_template)),
      special_tokens_(std::move(special_tokens)),
      reads_parts_(chat_template_ && chat_template_->reads_parts(special_tokens_)),
      vocab_(vocab),
      context_(context) {}

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
  try {
    text::ChatRequest request;
    request.messages = text::jinja::parse_json(messages_json(chat, reads_parts_), "messages");
    request.add_generation_prompt = chat.add_generation_prompt;
    request.special_tokens = special_tokens_;
    if (!chat.template_arguments.empty()) {
      request.extra = text::jinja::parse_json(chat.template_arguments, "chat_template_kwargs");
    }
    std::string text = chat_template_->render(request);
    if (chat.continue_final_message) cut_after_final_message(text);
    const std::string excess = text::prompt_excess(text, context_);
    if (!excess.empty()) refuse(FaultKind::kContextLength, "messages: " + excess, "messages");
    return need_tokenizer().encode(text, false);  // the template writes special tokens itself
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
