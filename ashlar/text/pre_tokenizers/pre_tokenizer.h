// Pre-tokenizers cut normalized text into the pieces that the model sees one by one (section
// `pre_tokenizer` of tokenizer.json). A new type is a class behind this interface, a maker below,
// and a row in factory.cc.
#pragma once

#include "ashlar/text/json_view.h"
#include "ashlar/text/pieces.h"

#include <memory>

namespace ashlar::text {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Cuts or rewrites the pieces. Thread-safe. Throws Error when a pattern gives up.
  virtual void apply(Pieces& pieces) const = 0;
  // Whether what comes out is in the byte alphabet, so that any bytes can be encoded.
  virtual bool ends_in_bytes() const { return false; }
};

// Throws Error for a type that is not known or a field that does not fit.
std::unique_ptr<PreTokenizer> make_pre_tokenizer(JsonView json);

std::unique_ptr<PreTokenizer> make_byte_level_pre_tokenizer(JsonView json);
std::unique_ptr<PreTokenizer> make_split(JsonView json);
std::unique_ptr<PreTokenizer> make_char_delimiter_split(JsonView json);
std::unique_ptr<PreTokenizer> make_bert_pre_tokenizer(JsonView json);
std::unique_ptr<PreTokenizer> make_whitespace(JsonView json);
std::unique_ptr<PreTokenizer> make_whitespace_split(JsonView json);
std::unique_ptr<PreTokenizer> make_punctuation(JsonView json);
std::unique_ptr<PreTokenizer> make_digits(JsonView json);
std::unique_ptr<PreTokenizer> make_fixed_length(JsonView json);
std::unique_ptr<PreTokenizer> make_metaspace_pre_tokenizer(JsonView json);
std::unique_ptr<PreTokenizer> make_unicode_scripts(JsonView json);

}  // namespace ashlar::text
