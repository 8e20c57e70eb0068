// Learns a byte-level BPE vocabulary from text: the most frequent pair of adjacent tokens becomes a
// token, again and again (Sennrich et al., 2016, over bytes as in GPT-2). The result depends on the
// text and the options only: of equally frequent pairs the one with the smaller ids is merged.
#pragma once

#include "ashlar/text/pre_tokenizers/word_patterns.h"
#include "ashlar/text/tokenizer.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::text {

struct BpeTrainOptions {
  int32_t vocab_size = 8192;                // special tokens and the 256 bytes included
  std::vector<std::string> special_tokens;  // ids 0, 1, ... in this order
  std::string begin_token;                  // the special token put before every text; empty: none
  WordPattern pattern = WordPattern::kLlama3;
  int64_t min_frequency = 2;  // a pair met less often is not merged, whatever the vocabulary size

  // Throws Error naming the option.
  void validate() const;
};

struct BpeTrainProgress {
  int64_t bytes_read = 0;
  int64_t words = 0;   // different ones
  int32_t tokens = 0;  // in the vocabulary so far
  int32_t vocab_size = 0;
};

class BpeTrainer {
 public:
  explicit BpeTrainer(BpeTrainOptions options);
  ~BpeTrainer();

  // Counts the words of one text. Words do not reach from one text into the next. Any bytes will
  // do.
  void feed(std::string_view text);

  // Learns from what was fed. The vocabulary is smaller than asked for when no pair is left that is
  // frequent enough. progress is called about once a hundredth of the way, on this thread.
  Tokenizer train(const std::function<void(const BpeTrainProgress&)>& progress = {}) const;

 private:
  struct Words;
  BpeTrainOptions options_;
  std::unique_ptr<Words> words_;
};

// Both steps in one, each source a text of its own.
Tokenizer train_bpe(const BpeTrainOptions& options, std::span<const std::string_view> sources,
                    const std::function<void(const BpeTrainProgress&)>& progress = {});

}  // namespace ashlar::text
