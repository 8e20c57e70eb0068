// How often each pair of adjacent tokens occurs, and in which words; the most frequent pair first.
// A heap with positions, so that a count changes in O(log pairs).
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace ashlar::text {

class PairCounts {
 public:
  struct Pair {
    int32_t left, right;
    int64_t count = 0;
    size_t heap_position = 0;
    std::vector<uint32_t> words;  // that hold the pair, or did once
  };

  // Adds `change` to the pair's count; a rise notes the word.
  void change(int32_t left, int32_t right, int64_t change, uint32_t word);

  // The pair with the highest count, among equals the one with the smallest (left, right). Null
  // when there is none. Valid until the next change().
  const Pair* top() const;
  // Takes the top pair's words; later changes note words anew.
  std::vector<uint32_t> take_words_of_top();
  // The pair is never top again.
  void retire_top();

 private:
  bool before(size_t a, size_t b) const;
  void place(size_t position, size_t pair);
  void sift_up(size_t position);
  void sift_down(size_t position);

  std::unordered_map<uint64_t, size_t> index_;  // pair key -> pairs_
  std::vector<Pair> pairs_;
  std::vector<size_t> heap_;  // of pairs_
};

}  // namespace ashlar::text
