#include "ashlar/serve/protocol/generate_fields.h"

#include "ashlar/serve/protocol/refused.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace ashlar::serve {
namespace {

// Sets `target` when the field is given.
template <typename T, typename U>
void assign(T& target, const std::optional<U>& value) {
  if (value) target = static_cast<T>(*value);
}

void read_logit_bias(const Fields& body, const RequestRules& rules, Sampling& sampling) {
  const JsonObject* bias = body.object("logit_bias");
  if (bias == nullptr) return;
  if (bias->size() > rules.max_logit_bias) {
    body.refuse("logit_bias", fmt::format("at most {} entries", rules.max_logit_bias));
  }
  const int64_t vocab =
      rules.vocab_size > 0 ? rules.vocab_size : int64_t{std::numeric_limits<int32_t>::max()};
  const Fields fields(*body.find("logit_bias"), body.path("logit_bias"));
  sampling.logit_bias.clear();
  for (const JsonMember& member : *bias) {
    int32_t id = 0;
    const char* end = member.key.data() + member.key.size();
    const auto [stopped, error] = std::from_chars(member.key.data(), end, id);
    if (error != std::errc() || stopped != end || id < 0 || id >= vocab) {
      refuse_field("logit_bias", fmt::format("found the key \"{}\", wanted a token id below {}",
                                             shortened(member.key), vocab));
    }
    constexpr double kStrongest = 100;
    const auto value = fields.number(member.key, -kStrongest, kStrongest);
    if (value) sampling.logit_bias.emplace_back(id, *value);
  }
}

void read_sampling(const Fields& body, const RequestRules& rules, Sampling& sampling) {
  constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();
  constexpr double kPenalty = 2, kLeastRepetition = 0.01, kMostRepetition = 100;
  sampling = rules.defaults;
  assign(sampling.temperature, body.number("temperature", 0, 2));
  assign(sampling.top_p, body.number("top_p", 0, 1));
  assign(sampling.top_k, body.integer("top_k", -1, kMostTokens));
  if (sampling.top_k < 0) sampling.top_k = 0;
  assign(sampling.min_p, body.number("min_p", 0, 1));
  assign(sampling.presence_penalty, body.number("presence_penalty", -kPenalty, kPenalty));
  assign(sampling.frequency_penalty, body.number("frequency_penalty", -kPenalty, kPenalty));
  assign(sampling.repetition_penalty,
         body.number("repetition_penalty", kLeastRepetition, kMostRepetition));
  const auto seed = body.integer("seed", std::numeric_limits<int64_t>::min(),
                                 std::numeric_limits<int64_t>::max());
  if (seed) sampling.seed = static_cast<uint64_t>(*seed);
  read_logit_bias(body, rules, sampling);
}

void read_stop(const Fields& body, const RequestRules& rules, std::vector<std::string>& stop) {
  const JsonValue* value = body.find("stop");
  if (value == nullptr) return;
  const std::string wanted = fmt::format("a string or up to {} strings of 1 to {} bytes",
                                         rules.max_stops, rules.max_stop_bytes);
  const auto add = [&](const JsonValue& item) {
    const auto* text = item.as<std::string>();
    if (text == nullptr || text->empty() || text->size() > rules.max_stop_bytes) {
      refuse_field("stop", fmt::format("found {}, wanted {}", describe(item), wanted));
    }
    stop.push_back(*text);
  };
  if (const auto* items = value->as<JsonArray>()) {
    if (items->size() > rules.max_stops) body.refuse("stop", wanted);
    for (const JsonValue& item : *items) add(item);
  } else {
    add(*value);
  }
}

}  // namespace

void read_generate_fields(const Fields& body, const RequestRules& rules, GenerateCall& call) {
  GenerateRequest& request = call.request;
  call.model = body.string("model").value_or("");
  call.stream = body.boolean("stream").value_or(false);
  assign(request.n, body.integer("n", 1, rules.max_samples));
  read_sampling(body, rules, request.sampling);
  read_stop(body, rules, request.stop);
  request.ignore_eos = body.boolean("ignore_eos").value_or(false);
}

AnswerOptions read_answer_options(const Fields& body, const GenerateCall& call) {
  AnswerOptions options;
  options.logprobs = call.request.logprobs;
  options.return_token_ids = body.boolean("return_token_ids").value_or(false);
  if (body.object("stream_options") != nullptr) {
    if (!call.stream) {
      refuse_field("stream_options", "is only for streams; set stream to true or leave it out");
    }
    const Fields stream(*body.find("stream_options"), "stream_options");
    options.include_usage = stream.boolean("include_usage").value_or(false);
    refuse_unknown_fields(stream);
  }
  return options;
}

std::optional<int64_t> read_token_limit(const Fields& body, std::string_view name, int64_t least) {
  return body.integer(name, least, std::numeric_limits<int32_t>::max());
}

void check_choices(const GenerateRequest& request, const RequestRules& rules,
                   std::string_view param) {
  const int64_t choices = static_cast<int64_t>(request.prompts.size()) * request.n;
  if (choices > rules.max_choices) {
    refuse_field(param,
                 fmt::format("{} prompts with n = {} are {} choices, at most {} in a request",
                             request.prompts.size(), request.n, choices, rules.max_choices));
  }
}

}  // namespace ashlar::serve
