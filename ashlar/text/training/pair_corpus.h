// The words of a text with their counts, as tokens whose most frequent pairs merge: what learning
// byte-pair encodings and word pieces have in common.
#pragma once

#include "ashlar/text/training/pair_counts.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ashlar::text {

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using WordCounts = std::unordered_map<std::string, int64_t, StringHash, std::equal_to<>>;

void count_word(WordCounts& counts, std::string_view word);

// Merging a pair keeps the counts of all pairs exact.
class PairCorpus {
 public:
  void add_word(const std::vector<int32_t>& tokens, int64_t count);
  PairCounts& pairs() { return pairs_; }
  // Replaces the top pair by `token` in every word; step: another one at each call.
  void merge_top(int32_t token, int32_t step);

 private:
  struct Word {
    size_t offset, length;  // of its tokens in symbols_
    int64_t count;
  };
  void merge_in(uint32_t index, int32_t left, int32_t right, int32_t token);

  std::vector<Word> words_;
  std::vector<int32_t> symbols_;
  std::vector<int32_t> merged_in_;  // by word: the last step that visited it
  PairCounts pairs_;
  std::vector<int32_t> before_;  // work space of merge_in
  std::vector<bool> was_merged_, is_merged_;
};

}  // namespace ashlar::text
