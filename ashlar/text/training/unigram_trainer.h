// Learns a Unigram vocabulary from text, as SentencePiece does (Kudo, "Subword Regularization",
// 2018): many pieces at first, whose probabilities are fitted by expectation and maximisation, then
// fewer and fewer. Text is normalised to NFKC with single spaces, and words begin with U+2581. The
// result depends on the text and the options only.
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

struct UnigramTrainOptions {
  int32_t vocab_size = 8192;  // special tokens and characters included
  // Ids 0, 1, ... in this order. <unk> must be among them.
  std::vector<std::string> special_tokens = {"<unk>", "<s>", "</s>"};
  int64_t seed_size = 1'000'000;  // pieces to begin with

  // Throws Error naming the option.
  void validate() const;
};

class UnigramTrainer {
 public:
  explicit UnigramTrainer(UnigramTrainOptions options);
  ~UnigramTrainer();

  // Counts the words of one text; bytes that are no UTF-8 count as U+FFFD.
  void feed(std::string_view text);

  // Learns from what was fed. The vocabulary is smaller than asked for when the text has not so
  // many pieces; the rarest characters that have no room are unknown. progress(rounds done, rounds
  // in all) is called after each pruning.
  Tokenizer train(const std::function<void(int64_t done, int64_t all)>& progress = {}) const;

 private:
  UnigramTrainOptions options_;
  std::unique_ptr<TextWords> words_;
};

}  // namespace ashlar::text
