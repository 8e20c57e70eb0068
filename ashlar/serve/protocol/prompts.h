// The forms in which a prompt comes: text, texts, token ids, lists of token ids, chat messages.
#pragma once

#include "ashlar/serve/protocol/fields.h"
#include "ashlar/serve/protocol/rules.h"

#include <string_view>
#include <vector>

namespace ashlar::serve {

// A string, an array of strings, an array of ids or an array of arrays of ids; none of them empty.
std::vector<Prompt> read_prompts(const Fields& body, std::string_view name,
                                 const RequestRules& rules);

// An array of token ids. `path` is for messages.
TokenIds read_token_ids(const JsonArray& ids, std::string_view path, const RequestRules& rules);

// messages, add_generation_prompt, continue_final_message, chat_template_kwargs.
ChatPrompt read_chat_prompt(const Fields& body);

}  // namespace ashlar::serve
