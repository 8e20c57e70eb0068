#include "ashlar/serve/protocol/refused.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

namespace ashlar::serve {
namespace {

// Neither sampler nor engine has these. Names of OpenAI's API and of common extensions to it.
constexpr std::array<std::string_view, 39> kNowhere = {"best_of",
                                                       "use_beam_search",
                                                       "length_penalty",
                                                       "response_format",
                                                       "structured_outputs",
                                                       "guided_json",
                                                       "guided_regex",
                                                       "guided_choice",
                                                       "guided_grammar",
                                                       "json_schema",
                                                       "grammar",
                                                       "regex",
                                                       "ebnf",
                                                       "stop_token_ids",
                                                       "min_tokens",
                                                       "bad_words",
                                                       "allowed_token_ids",
                                                       "logits_processors",
                                                       "prompt_logprobs",
                                                       "truncate_prompt_tokens",
                                                       "include_stop_str_in_output",
                                                       "typical_p",
                                                       "top_a",
                                                       "tfs_z",
                                                       "xtc_probability",
                                                       "dry_multiplier",
                                                       "mirostat",
                                                       "mirostat_mode",
                                                       "dynatemp_range",
                                                       "top_n_sigma",
                                                       "repetition_penalty_range",
                                                       "lora_request",
                                                       "adapter",
                                                       "prompt_embeds",
                                                       "kv_transfer_params",
                                                       "return_tokens_as_token_ids",
                                                       "skip_special_tokens",
                                                       "spaces_between_special_tokens",
                                                       "samplers"};

constexpr std::array<std::string_view, 2> kNotInCompletions = {"suffix", "messages"};

constexpr std::array<std::string_view, 15> kNotInChat = {"tools",
                                                         "tool_choice",
                                                         "functions",
                                                         "function_call",
                                                         "modalities",
                                                         "audio",
                                                         "prompt",
                                                         "echo",
                                                         "reasoning_effort",
                                                         "verbosity",
                                                         "documents",
                                                         "suffix",
                                                         "mm_processor_kwargs",
                                                         "chat_template",
                                                         "web_search_options"};

// What cannot change an answer: names for the operator's books, and hints of how to be quick.
constexpr std::array<std::string_view, 14> kHarmless = {"user",
                                                        "metadata",
                                                        "store",
                                                        "service_tier",
                                                        "safety_identifier",
                                                        "prompt_cache_key",
                                                        "prompt_cache_retention",
                                                        "prediction",
                                                        "parallel_tool_calls",
                                                        "request_id",
                                                        "priority",
                                                        "cache_prompt",
                                                        "include_obfuscation",
                                                        "include_reasoning"};

// Values that ask for what happens anyway.
bool asks_for_nothing(std::string_view name, const JsonValue& value) {
  const bool happens = name == "skip_special_tokens" || name == "spaces_between_special_tokens";
  if (const auto* flag = value.as<bool>()) return *flag == happens;
  if (const auto* items = value.as<JsonArray>()) {
    const bool only_text = name == "modalities" && items->size() == 1 &&
                           items->front().as<std::string>() != nullptr &&
                           *items->front().as<std::string>() == "text";
    return items->empty() || only_text;
  }
  if (const auto* text = value.as<std::string>()) {
    return text->empty() || *text == "none" || (name == "tool_choice" && *text == "auto");
  }
  if (const auto* members = value.as<JsonObject>()) {
    const JsonValue* type = nullptr;
    for (const JsonMember& member : *members) {
      if (member.key == "type") type = &member.value;
    }
    return name == "response_format" && type != nullptr && type->as<std::string>() != nullptr &&
           *type->as<std::string>() == "text";
  }
  const auto* integer = value.as<int64_t>();
  const auto* real = value.as<double>();
  const double number = integer != nullptr ? static_cast<double>(*integer) : *real;
  const bool neutral_at_one =
      name == "best_of" || name == "length_penalty" || name == "typical_p" || name == "tfs_z";
  return number == (neutral_at_one ? 1 : 0);
}

void refuse_listed(const Fields& body, std::span<const std::string_view> names) {
  for (const std::string_view name : names) {
    const JsonValue* value = body.find(name);
    if (value == nullptr || asks_for_nothing(name, *value)) continue;
    refuse_field(name,
                 fmt::format("found {}, but this server does not support it here; leave it out",
                             describe(*value)));
  }
}

}  // namespace

void refuse_completion_fields(const Fields& body) {
  refuse_listed(body, kNowhere);
  refuse_listed(body, kNotInCompletions);
}

void refuse_chat_fields(const Fields& body) {
  refuse_listed(body, kNowhere);
  refuse_listed(body, kNotInChat);
}

void refuse_unknown_fields(const Fields& body) { body.refuse_unread(kHarmless); }

}  // namespace ashlar::serve
