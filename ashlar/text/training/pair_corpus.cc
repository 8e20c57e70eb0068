#include "ashlar/text/training/pair_corpus.h"

#include <utility>

namespace ashlar::text {

void count_word(WordCounts& counts, std::string_view word) {
  const auto found = counts.find(word);
  if (found != counts.end()) {
    ++found->second;
  } else {
    counts.emplace(word, 1);
  }
}

void PairCorpus::add_word(const std::vector<int32_t>& tokens, int64_t count) {
  const auto index = static_cast<uint32_t>(words_.size());
  words_.push_back({symbols_.size(), tokens.size(), count});
  symbols_.insert(symbols_.end(), tokens.begin(), tokens.end());
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    pairs_.change(tokens[i], tokens[i + 1], count, index);
  }
  merged_in_.push_back(-1);
}

void PairCorpus::merge_top(int32_t token, int32_t step) {
  const int32_t left = pairs_.top()->left;
  const int32_t right = pairs_.top()->right;
  for (const uint32_t word : pairs_.take_words_of_top()) {
    if (std::exchange(merged_in_[word], step) != step) merge_in(word, left, right, token);
  }
}

void PairCorpus::merge_in(uint32_t index, int32_t left, int32_t right, int32_t token) {
  Word& word = words_[index];
  int32_t* const s = symbols_.data() + word.offset;
  before_.assign(s, s + word.length);
  was_merged_.assign(word.length, false);
  is_merged_.clear();
  size_t length = 0;
  for (size_t i = 0; i < word.length; ++i) {
    const bool match = before_[i] == left && i + 1 < word.length && before_[i + 1] == right;
    s[length++] = match ? token : before_[i];
    is_merged_.push_back(match);
    if (match) was_merged_[i] = was_merged_[i + 1] = true;
    i += match ? 1 : 0;
  }
  for (size_t i = 0; i + 1 < word.length; ++i) {
    if (was_merged_[i] || was_merged_[i + 1]) {
      pairs_.change(before_[i], before_[i + 1], -word.count, index);
    }
  }
  for (size_t i = 0; i + 1 < length; ++i) {
    if (is_merged_[i] || is_merged_[i + 1]) pairs_.change(s[i], s[i + 1], word.count, index);
  }
  word.length = length;
}

}  // namespace ashlar::text
