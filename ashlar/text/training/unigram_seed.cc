#include "ashlar/text/training/unigram_seed.h"

#include "ashlar/base/utf8.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace ashlar::text {
namespace {

// A word from some character on, cut to the longest piece.
struct Suffix {
  std::string_view text;
  int64_t count;
};

struct Substring {
  std::string_view text;
  double weight;  // characters of the text that it covers
};

std::vector<Suffix> sorted_suffixes(const std::vector<CountedWord>& words) {
  std::vector<Suffix> suffixes;
  for (const CountedWord& word : words) {
    const std::string_view text = word.text;
    for (size_t begin = 0; begin < text.size(); begin += utf8_length(text[begin])) {
      size_t end = begin;
      for (size_t i = 0; i < kMaxPieceCharacters && end < text.size(); ++i) {
        end += utf8_length(text[end]);
      }
      suffixes.push_back({text.substr(begin, end - begin), word.count});
    }
  }
  std::ranges::sort(suffixes, {}, &Suffix::text);
  return suffixes;
}

// Bytes of the whole characters that both begin with.
size_t shared_bytes(std::string_view a, std::string_view b) {
  size_t shared = 0;
  while (shared < std::min(a.size(), b.size())) {
    const size_t length = utf8_length(a[shared]);
    if (a.substr(shared, length) != b.substr(shared, length)) break;
    shared += length;
  }
  return shared;
}

// Every substring of two characters or more that is met twice and that no longer one contains
// wherever it stands: the inner nodes of a tree of the suffixes, and its leaves.
std::vector<Substring> repeated_substrings(const std::vector<Suffix>& suffixes) {
  struct Node {
    size_t bytes, first;  // the suffixes from `first` on begin alike for so many bytes
  };
  std::vector<int64_t> counts_before = {0};
  for (const Suffix& suffix : suffixes) {
    counts_before.push_back(counts_before.back() + suffix.count);
  }
  std::vector<Substring> found;
  std::vector<Node> open;
  for (size_t i = 0; i <= suffixes.size(); ++i) {
    const size_t shared =
        i > 0 && i < suffixes.size() ? shared_bytes(suffixes[i - 1].text, suffixes[i].text) : 0;
    size_t first = i;
    while (!open.empty() && open.back().bytes > shared) {
      first = open.back().first;
      const std::string_view text = suffixes[first].text.substr(0, open.back().bytes);
      const int64_t count = counts_before[i] - counts_before[first];
      const size_t characters = count_characters(text);
      if (count >= 2 && characters >= 2) {
        found.push_back({text, static_cast<double>(count) * static_cast<double>(characters)});
      }
      open.pop_back();
    }
    if (shared > 0 && (open.empty() || open.back().bytes < shared)) open.push_back({shared, first});
    if (i < suffixes.size() && suffixes[i].text.size() > shared) {
      open.push_back({suffixes[i].text.size(), i});
    }
  }
  return found;
}

}  // namespace

size_t count_characters(std::string_view text) {
  size_t characters = 0;
  for (size_t at = 0; at < text.size(); at += utf8_length(text[at])) ++characters;
  return characters;
}

std::vector<ScoredPiece> seed_pieces(const std::vector<CountedWord>& words, size_t most) {
  std::map<std::string_view, double> characters;
  for (const CountedWord& word : words) {
    const std::string_view text = word.text;
    for (size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
      characters[text.substr(at, utf8_length(text[at]))] += static_cast<double>(word.count);
    }
  }
  const std::vector<Suffix> suffixes = sorted_suffixes(words);
  std::vector<Substring> substrings = repeated_substrings(suffixes);
  std::ranges::sort(substrings, [](const Substring& a, const Substring& b) {
    return std::tuple(-a.weight, a.text) < std::tuple(-b.weight, b.text);
  });
  substrings.resize(std::min(substrings.size(), most));

  std::vector<ScoredPiece> pieces;
  double sum = 0;
  const auto add = [&](std::string_view text, double weight, bool character) {
    pieces.push_back({std::string(text), weight, character});
    sum += weight;
  };
  for (const auto& [text, count] : characters) add(text, count, true);
  for (const Substring& substring : substrings) add(substring.text, substring.weight, false);
  for (ScoredPiece& piece : pieces) piece.score = std::log(piece.score) - std::log(sum);
  return pieces;
}

}  // namespace ashlar::text
