// tokenizer_config.json beside tokenizer.json. The tokenizer is what tokenizer.json says; the
// config gives names of special tokens and chat templates (text/chat_template.h).
#pragma once

#include "ashlar/text/tokenizer.h"

#include <string>

namespace ashlar::bundle {

// Warns of added_tokens_decoder's tokens that tokenizer.json lacks: transformers adds them, so that
// texts which hold one get other ids there.
void note_other_tokens(const std::string& folder, const text::Tokenizer& tokenizer);

}  // namespace ashlar::bundle
