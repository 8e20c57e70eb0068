// Prompts become token ids: text through the tokenizer, messages through the chat template first.
#pragma once

#include "ashlar/serve/backend.h"
#include "ashlar/text/chat_template.h"
#include "ashlar/text/tokenizer.h"

#include <optional>
#include <string>

namespace ashlar::serve {

class PromptEncoder {
 public:
  // Without a tokenizer only token ids are taken; without a template no messages. A template may
  // make so much text of them as `context` tokens could hold.
  PromptEncoder(std::optional<text::Tokenizer> tokenizer,
                std::optional<text::ChatTemplate> chat_template, text::SpecialTokens special_tokens,
                int64_t vocab, int64_t context);

  // Throws RequestError naming the field.
  TokenIds encode(const Prompt& prompt) const;
  std::string decode(const TokenIds& ids) const;
  std::string bytes_of(int32_t id) const;  // of one token, not always whole characters
  const text::Tokenizer* tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }

 private:
  TokenIds encode_chat(const ChatPrompt& chat) const;
  const text::Tokenizer& need_tokenizer() const;

  std::optional<text::Tokenizer> tokenizer_;
  std::optional<text::ChatTemplate> chat_template_;
  text::SpecialTokens special_tokens_;
  bool reads_parts_;  // the template does
  int64_t vocab_, context_;
};

}  // namespace ashlar::serve
