#include "ashlar/text/training/text_words.h"

#include "ashlar/base/utf8.h"

namespace ashlar::text {

TextWords::TextWords(const std::string& normalizer, const std::string& pre_tokenizer,
                     size_t longest)
    : normalizer_(make_normalizer(JsonDocument(normalizer, "tokenizer training").root())),
      pre_tokenizer_(make_pre_tokenizer(JsonDocument(pre_tokenizer, "tokenizer training").root())),
      longest_(longest) {}

void TextWords::feed(std::string_view text) {
  text_.clear();
  append_repaired_utf8(text_, text);
  normalizer_->normalize(text_);
  pieces_.reset(text_, true);
  pre_tokenizer_->apply(pieces_);
  for (const Span& span : pieces_.spans()) {
    if (span.size() <= longest_) count_word(counts_, pieces_.piece(span));
  }
}

}  // namespace ashlar::text
