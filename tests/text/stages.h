// The normalizer or pre-tokenizer of a tokenizer.json by itself, for comparisons over all code
// points.
#pragma once

#include "ashlar/text/normalizers/normalizer.h"
#include "ashlar/text/pre_tokenizers/pre_tokenizer.h"

#include <memory>
#include <string>
#include <string_view>

namespace ashlar::text {

// Bytes that are in no UTF-8: behind each piece, and behind all the pieces of a text.
constexpr char kPieceEnd = '\xFE', kTextEnd = '\xFF';

class Stage {
 public:
  // `json` has the key normalizer or pre_tokenizer, as a tokenizer.json has it.
  explicit Stage(const std::string& json);
  // What it makes of the text: pieces, each with its end, and the text's end.
  std::string pieces(std::string_view text) const;

 private:
  std::unique_ptr<Normalizer> normalizer_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
};

}  // namespace ashlar::text
