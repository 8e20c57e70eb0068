// What stands around a Unigram model in tokenizer.json, in the words that GGUF has for it: rules of
// normalisation, and what becomes of spaces.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ashlar::bundle {

struct UnigramSteps {
  std::vector<int64_t> charsmap;  // SentencePiece's rules, byte by byte; none where it is empty
  bool prefix = false;            // U+2581 goes before the text
  bool cleaned = false;           // one space for several, none at the ends
  bool by_word = false;           // tokens end where a word does
  // What GGUF has no words for and what is found there; `no_words` is empty where it has.
  std::string no_words, found;
};
UnigramSteps read_unigram_steps(const std::string& tokenizer_json);

}  // namespace ashlar::bundle
