// tokenizer_config.json beside tokenizer.json. The tokenizer is what tokenizer.json says; the
// config gives names of special tokens and chat templates (text/chat_template.h).
#pragma once

#include "ashlar/text/tokenizer.h"

#include <optional>
#include <string>

namespace ashlar::bundle {

// Warns of added_tokens_decoder's tokens that tokenizer.json lacks, or has other flags for:
// transformers adds and changes them, so that texts which hold one get other ids there.
void note_other_tokens(const std::string& folder, const text::Tokenizer& tokenizer);

// A flag of the config, where it has it.
std::optional<bool> tokenizer_flag(const std::string& folder, const char* key);

}  // namespace ashlar::bundle
