// The fields that /v1/completions and /v1/chat/completions share.
#pragma once

#include "ashlar/serve/protocol/call.h"
#include "ashlar/serve/protocol/fields.h"

#include <optional>
#include <span>
#include <string_view>

namespace ashlar::serve {

// Sampling, n, stop, ignore_eos, stream, model; all but the prompts, token limit and logprobs.
void read_generate_fields(const Fields& body, const RequestRules& rules, GenerateCall& call);

// stream_options.include_usage, return_token_ids.
AnswerOptions read_answer_options(const Fields& body, const GenerateCall& call);

// max_tokens or the like: none when not given.
std::optional<int64_t> read_token_limit(const Fields& body, std::string_view name, int64_t least);

// The number of choices is within bounds; `param` is the field to blame.
void check_choices(const GenerateRequest& request, const RequestRules& rules,
                   std::string_view param);

}  // namespace ashlar::serve
