#include "ashlar/serve/protocol/prompts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>

namespace ashlar::serve {
namespace {

// What clients send back with an answer and no template reads.
constexpr std::array<std::string_view, 3> kHarmlessInMessage = {"refusal", "annotations", "id"};
constexpr std::array<std::string_view, 1> kHarmlessInPart = {"cache_control"};

Prompt read_prompt(const JsonValue& value, const std::string& path, bool add_special_tokens,
                   const RequestRules& rules) {
  if (const auto* text = value.as<std::string>()) return TextPrompt{*text, add_special_tokens};
  const auto* ids = value.as<JsonArray>();
  if (ids == nullptr || ids->empty()) {
    refuse_field(path, fmt::format("found {}, wanted a string or a non-empty array of token ids",
                                   describe(value)));
  }
  return read_token_ids(*ids, path, rules);
}

// Of text parts `content` is the texts with line ends between them, as vLLM and llama.cpp join them
// for a template that reads no parts. Every other kind of part is refused.
void read_content(const Fields& message, ChatMessage& result) {
  const JsonValue* content = message.find("content");
  if (content != nullptr && content->as<std::string>() != nullptr) {
    result.content = *content->as<std::string>();
    return;
  }
  const JsonArray* parts = content != nullptr ? content->as<JsonArray>() : nullptr;
  if (parts == nullptr) message.refuse("content", "a string or an array of text parts");
  for (size_t i = 0; i < parts->size(); ++i) {
    const Fields part((*parts)[i], fmt::format("{}[{}]", message.path("content"), i));
    if (part.string("type").value_or("") != "text") {
      part.refuse("type", "\"text\": this server reads no other content");
    }
    const auto piece = part.string("text");
    if (!piece) part.refuse("text", "a string");
    part.refuse_unread(kHarmlessInPart);
    result.parts.push_back(*piece);
  }
  result.content = fmt::format("{}", fmt::join(result.parts, "\n"));
}

ChatMessage read_message(const Fields& message) {
  for (const std::string_view name : {"tool_calls", "function_call", "audio"}) {
    const JsonValue* value = message.find(name);
    if (value == nullptr) continue;
    if (const auto* items = value->as<JsonArray>(); items != nullptr && items->empty()) continue;
    refuse_field(message.path(name), "is not supported by this server; leave it out");
  }
  ChatMessage result;
  result.role = message.string("role").value_or("");
  if (result.role == "developer") result.role = "system";  // the newer name of the same role
  if (result.role != "system" && result.role != "user" && result.role != "assistant") {
    message.refuse("role", "\"system\", \"developer\", \"user\" or \"assistant\"");
  }
  read_content(message, result);
  result.name = message.string("name").value_or("");
  for (const char* name : {"reasoning_content", "reasoning"}) {
    if (result.reasoning.empty()) result.reasoning = message.string(name).value_or("");
  }
  message.refuse_unread(kHarmlessInMessage);
  return result;
}

}  // namespace

TokenIds read_token_ids(const JsonArray& ids, std::string_view path, const RequestRules& rules) {
  const int64_t vocab =
      rules.vocab_size > 0 ? rules.vocab_size : int64_t{std::numeric_limits<int32_t>::max()};
  TokenIds result;
  result.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto* id = ids[i].as<int64_t>();
    if (id == nullptr || *id < 0 || *id >= vocab) {
      refuse_field(
          fmt::format("{}[{}]", path, i),
          fmt::format("found {}, wanted a token id from 0 to {}, below the vocabulary size",
                      describe(ids[i]), vocab - 1));
    }
    result.push_back(static_cast<int32_t>(*id));
  }
  return result;
}

std::vector<Prompt> read_prompts(const Fields& body, std::string_view name,
                                 const RequestRules& rules) {
  const JsonValue* value = body.find(name);
  const bool special = body.boolean("add_special_tokens").value_or(true);
  const std::string path = body.path(name);
  std::vector<Prompt> prompts;
  if (value != nullptr && value->as<std::string>() != nullptr) {
    prompts.push_back(read_prompt(*value, path, special, rules));
    return prompts;
  }
  const JsonArray* items = value != nullptr ? value->as<JsonArray>() : nullptr;
  if (items == nullptr || items->empty()) {
    body.refuse(name, "a string, strings, token ids or lists of token ids, not empty");
  }
  const bool one_prompt =
      items->front().as<int64_t>() != nullptr || items->front().as<double>() != nullptr;
  if (one_prompt) {
    prompts.push_back(read_prompt(*value, path, special, rules));
    return prompts;
  }
  if (static_cast<int64_t>(items->size()) > rules.max_choices) {
    body.refuse(name, fmt::format("at most {} prompts in a request", rules.max_choices));
  }
  for (size_t i = 0; i < items->size(); ++i) {
    prompts.push_back(read_prompt((*items)[i], fmt::format("{}[{}]", path, i), special, rules));
    if (prompts.back().index() != prompts.front().index()) {
      refuse_field(path, "mixes strings and lists of token ids; send two requests");
    }
  }
  return prompts;
}

ChatPrompt read_chat_prompt(const Fields& body) {
  const JsonArray* messages = body.array("messages");
  if (messages == nullptr || messages->empty()) {
    body.refuse("messages", "a non-empty array of messages");
  }
  ChatPrompt prompt;
  for (size_t i = 0; i < messages->size(); ++i) {
    const std::string path = fmt::format("{}[{}]", body.path("messages"), i);
    prompt.messages.push_back(read_message(Fields((*messages)[i], path)));
  }
  prompt.continue_final_message = body.boolean("continue_final_message").value_or(false);
  prompt.add_generation_prompt =
      body.boolean("add_generation_prompt").value_or(!prompt.continue_final_message);
  if (prompt.continue_final_message && prompt.add_generation_prompt) {
    refuse_field("continue_final_message", "cannot be true together with add_generation_prompt");
  }
  if (const JsonObject* arguments = body.object("chat_template_kwargs")) {
    for (const std::string_view own : {"messages", "tools", "documents", "add_generation_prompt"}) {
      if (std::ranges::find(*arguments, own, &JsonMember::key) == arguments->end()) continue;
      refuse_field(fmt::format("{}.{}", body.path("chat_template_kwargs"), own),
                   "is no argument of the template but a field of the request");
    }
    prompt.template_arguments = to_text(*body.find("chat_template_kwargs"));
  }
  return prompt;
}

}  // namespace ashlar::serve
