// The words of texts and how often each stands there, as a normalizer and a pre-tokenizer of
// tokenizer.json cut them.
#pragma once

#include "ashlar/text/normalizers/normalizer.h"
#include "ashlar/text/pre_tokenizers/pre_tokenizer.h"
#include "ashlar/text/training/pair_corpus.h"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace ashlar::text {

class TextWords {
 public:
  // The two components as JSON; words of more bytes than `longest` do not count.
  TextWords(const std::string& normalizer, const std::string& pre_tokenizer, size_t longest);

  // Counts the words of one text; bytes that are no UTF-8 count as U+FFFD.
  void feed(std::string_view text);
  const WordCounts& counts() const { return counts_; }

 private:
  std::unique_ptr<Normalizer> normalizer_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  size_t longest_;
  WordCounts counts_;
  std::string text_;
  Pieces pieces_;
};

}  // namespace ashlar::text
