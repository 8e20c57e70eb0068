// The pieces that learning a Unigram model begins with: the characters of the words, and the
// substrings that repeat, found by sorting the words' suffixes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::text {

struct CountedWord {
  std::string text;  // well-formed UTF-8, not empty
  int64_t count = 0;
};

struct ScoredPiece {
  std::string text;
  double score = 0;        // the logarithm of its probability
  bool character = false;  // a single one, which stays whatever it scores
};

// At most `most` substrings of up to kMaxPieceCharacters characters besides the characters, those
// first that cover the most text. The order depends on the words only.
inline constexpr size_t kMaxPieceCharacters = 16;
std::vector<ScoredPiece> seed_pieces(const std::vector<CountedWord>& words, size_t most);

size_t count_characters(std::string_view text);

}  // namespace ashlar::text
