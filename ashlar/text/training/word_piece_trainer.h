// Learns BERT's word pieces from text: the most frequent pair of adjacent pieces becomes one, again
// and again, as with byte pairs, but over characters, and pieces that go on a word begin with "##".
// Words are those of BERT's own normalizer and pre-tokenizer. The result depends on the text and
// the options only; of equally frequent pairs the one with the smaller ids is merged.
#pragma once

#include "ashlar/text/tokenizer.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::text {

class TextWords;

struct WordPieceTrainOptions {
  int32_t vocab_size = 8192;  // special tokens and characters included
  // Ids 0, 1, ... in this order. [UNK], [CLS] and [SEP] must be among them.
  std::vector<std::string> special_tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  bool lower_case = true;         // and without accents
  int64_t min_frequency = 2;      // a pair met less often is not merged
  int32_t max_characters = 1000;  // the rarest beyond these are unknown

  // Throws Error naming the option.
  void validate() const;
};

class WordPieceTrainer {
 public:
  explicit WordPieceTrainer(WordPieceTrainOptions options);
  ~WordPieceTrainer();

  // Counts the words of one text; bytes that are no UTF-8 count as U+FFFD.
  void feed(std::string_view text);

  // Learns from what was fed. The vocabulary is smaller than asked for when no pair is left that is
  // frequent enough. progress(tokens) is called about once a hundredth of the way.
  Tokenizer train(const std::function<void(int32_t tokens)>& progress = {}) const;

 private:
  WordPieceTrainOptions options_;
  std::unique_ptr<TextWords> words_;
};

}  // namespace ashlar::text
