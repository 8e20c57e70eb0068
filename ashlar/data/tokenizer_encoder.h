// The Encoder of a model directory: its tokenizer.json, special tokens and chat template.
#pragma once

#include "ashlar/data/encoder.h"
#include "ashlar/text/chat_template.h"
#include "ashlar/text/tokenizer.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::data {

class TokenizerEncoder : public Encoder {
 public:
  // A model directory, or a tokenizer.json beside which the other files may lie.
  static TokenizerEncoder open(const std::string& path);

  // The end of a document is eos_token of files.special_tokens, else what the tokenizer puts after
  // a text, else a token of a well-known name, else none. `where` names the model in errors.
  TokenizerEncoder(text::Tokenizer tokenizer, const text::ChatFiles& files, std::string where);

  const text::Tokenizer& tokenizer() const { return tokenizer_; }

  void encode(std::string_view text, std::vector<int32_t>& out) const override;
  // Where a template prints today's date, it gets 26 July 2024: tokens do not depend on the day.
  RenderedChat render_chat(const std::string& messages, const std::string& tools,
                           bool add_generation_prompt) const override;
  int64_t vocab_size() const override { return tokenizer_.vocab_size(); }
  std::span<const int32_t> document_begin() const override { return document_begin_; }
  int32_t document_end() const override { return document_end_; }
  // What stands for a hidden token, as special tokens or well-known names say.
  std::optional<int32_t> mask_token() const;
  uint64_t fingerprint() const override { return fingerprint_; }

 private:
  void find_document_ends(const text::SpecialTokens& special_tokens);

  text::Tokenizer tokenizer_;
  std::string where_;
  text::SpecialTokens special_tokens_;
  std::optional<text::ChatTemplate> chat_, chat_with_tools_;
  std::vector<int32_t> document_begin_;
  int32_t document_end_ = -1;
  uint64_t fingerprint_ = 0;
};

}  // namespace ashlar::data
