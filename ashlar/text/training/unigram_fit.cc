#include "ashlar/text/training/unigram_fit.h"

#include "ashlar/base/utf8.h"
#include "ashlar/text/models/byte_trie.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

namespace ashlar::text {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();
constexpr double kLeastCount = 0.5;  // expected; pieces below are dropped

ByteTrie trie_of(const std::vector<ScoredPiece>& pieces) {
  std::vector<ByteTrie::Entry> entries;
  entries.reserve(pieces.size());
  for (const ScoredPiece& piece : pieces) {
    entries.emplace_back(piece.text, static_cast<int32_t>(entries.size()));
  }
  return ByteTrie(std::move(entries));
}

double add_logarithms(double a, double b) {
  const double high = std::max(a, b), low = std::min(a, b);
  return low == kNever ? high : high + std::log1p(std::exp(low - high));
}

// The logarithm's expectation under a Dirichlet posterior, as SentencePiece takes it: rare pieces
// score lower than their share.
double digamma(double x) {
  double result = 0;
  for (; x < 7; ++x) result -= 1 / x;
  x -= 0.5;
  const double square = 1 / (x * x);
  return result + std::log(x) +
         square * (1.0 / 24 +
                   square * (-7.0 / 960 + square * (31.0 / 8064 + square * (-127.0 / 30720))));
}

// A piece inside a word, [begin, end) in bytes.
struct Edge {
  size_t begin, end, piece;
};

// How often each piece occurs, over all cuts of all words by their probability.
class Expectation {
 public:
  explicit Expectation(const std::vector<ScoredPiece>& pieces)
      : pieces_(pieces), trie_(trie_of(pieces)), counts_(pieces.size(), 0) {}

  void add(const CountedWord& word) {
    const size_t size = word.text.size();
    ahead_.assign(size + 1, kNever);
    behind_.assign(size + 1, kNever);
    ahead_[0] = behind_[size] = 0;
    edges_.clear();
    for (size_t begin = 0; begin < size; begin += utf8_length(word.text[begin])) {
      trie_.each_prefix(std::string_view(word.text).substr(begin), [&](size_t bytes, int32_t id) {
        const Edge edge = {begin, begin + bytes, static_cast<size_t>(id)};
        edges_.push_back(edge);
        ahead_[edge.end] = add_logarithms(ahead_[edge.end], ahead_[begin] + score(edge));
      });
    }
    for (size_t i = edges_.size(); i-- > 0;) {
      const Edge& edge = edges_[i];
      behind_[edge.begin] = add_logarithms(behind_[edge.begin], score(edge) + behind_[edge.end]);
    }
    for (const Edge& edge : edges_) {
      counts_[edge.piece] +=
          static_cast<double>(word.count) *
          std::exp(ahead_[edge.begin] + score(edge) + behind_[edge.end] - ahead_[size]);
    }
  }

  const std::vector<double>& counts() const { return counts_; }

 private:
  double score(const Edge& edge) const { return pieces_[edge.piece].score; }

  const std::vector<ScoredPiece>& pieces_;
  ByteTrie trie_;
  std::vector<double> counts_;
  std::vector<Edge> edges_;
  std::vector<double> ahead_, behind_;  // by byte: of all cuts up to there, and from there on
};

// The likeliest cut of a text.
class BestCut {
 public:
  explicit BestCut(const std::vector<ScoredPiece>& pieces)
      : pieces_(pieces), trie_(trie_of(pieces)) {}

  // The pieces, last first. but: one that may not be used. Empty where no other cut exists.
  const std::vector<size_t>& operator()(std::string_view text, size_t but = SIZE_MAX) {
    best_.assign(text.size() + 1, {kNever, 0, 0});
    best_[0].score = 0;
    for (size_t begin = 0; begin < text.size(); begin += utf8_length(text[begin])) {
      if (best_[begin].score == kNever) continue;
      trie_.each_prefix(text.substr(begin), [&](size_t bytes, int32_t id) {
        const auto piece = static_cast<size_t>(id);
        const double score = best_[begin].score + pieces_[piece].score;
        Step& end = best_[begin + bytes];
        if (piece != but && score > end.score) end = {score, begin, piece};
      });
    }
    path_.clear();
    if (best_.back().score == kNever) return path_;
    for (size_t end = text.size(); end > 0; end = best_[end].begin) {
      path_.push_back(best_[end].piece);
    }
    return path_;
  }
  double score() const { return best_.back().score; }

 private:
  struct Step {
    double score;
    size_t begin, piece;
  };
  const std::vector<ScoredPiece>& pieces_;
  ByteTrie trie_;
  std::vector<Step> best_;
  std::vector<size_t> path_;
};

// Of the others those with the highest values, until `least` stay; in the pieces' order.
void stay_too(std::vector<size_t> others, const std::vector<double>& values,
              const std::vector<ScoredPiece>& pieces, size_t least, std::vector<size_t>& stay) {
  if (stay.size() >= least) return;
  std::ranges::sort(others, [&](size_t a, size_t b) {
    return std::tuple(-values[a], std::string_view(pieces[a].text)) <
           std::tuple(-values[b], std::string_view(pieces[b].text));
  });
  others.resize(std::min(others.size(), least - stay.size()));
  stay.insert(stay.end(), others.begin(), others.end());
  std::ranges::sort(stay);
}

}  // namespace

void fit_scores(const std::vector<CountedWord>& words, std::vector<ScoredPiece>& pieces,
                size_t least) {
  Expectation expectation(pieces);
  for (const CountedWord& word : words) expectation.add(word);
  const std::vector<double>& counts = expectation.counts();
  std::vector<size_t> stay, rare;
  for (size_t i = 0; i < pieces.size(); ++i) {
    (counts[i] < kLeastCount && !pieces[i].character ? rare : stay).push_back(i);
  }
  stay_too(rare, counts, pieces, least, stay);
  std::vector<ScoredPiece> kept;
  double sum = 0;
  for (const size_t i : stay) {
    kept.push_back(std::move(pieces[i]));
    kept.back().score = std::max(counts[i], kLeastCount);
    sum += kept.back().score;
  }
  for (ScoredPiece& piece : kept) piece.score = digamma(piece.score) - digamma(sum);
  pieces = std::move(kept);
}

void prune_pieces(const std::vector<CountedWord>& words, std::vector<ScoredPiece>& pieces,
                  size_t wanted, size_t least) {
  BestCut best_cut(pieces);
  std::vector<double> counts(pieces.size(), 0);
  double sum = 0;
  for (const CountedWord& word : words) {
    for (const size_t piece : best_cut(word.text)) {
      counts[piece] += static_cast<double>(word.count);
      sum += static_cast<double>(word.count);
    }
  }

  struct Loss {
    double value;
    size_t piece;
  };
  std::vector<size_t> kept, unused;
  std::vector<double> scores;
  std::vector<Loss> losses;
  for (size_t i = 0; i < pieces.size(); ++i) {
    scores.push_back(pieces[i].score);
    if (pieces[i].character) {
      kept.push_back(i);
      continue;
    }
    const std::vector<size_t>& others = best_cut(pieces[i].text, i);
    // Never in a likeliest cut, or less likely than its own parts: nothing is lost.
    if (counts[i] == 0 || best_cut.score() > pieces[i].score) {
      unused.push_back(i);
      continue;
    }
    const double before = std::log(counts[i]) - std::log(sum);
    const double sum_without =
        sum + counts[i] * (static_cast<double>(others.size()) - 1);  // the parts take its place
    double after = 0;
    for (const size_t other : others) {
      after += std::log(counts[other] + counts[i]) - std::log(sum_without);
    }
    losses.push_back({counts[i] * (before - after), i});
  }
  std::ranges::sort(losses, [&](const Loss& a, const Loss& b) {
    return std::tuple(-a.value, std::string_view(pieces[a.piece].text)) <
           std::tuple(-b.value, std::string_view(pieces[b.piece].text));
  });
  for (const Loss& loss : losses) {
    if (kept.size() >= wanted) break;
    kept.push_back(loss.piece);
  }
  std::ranges::sort(kept);
  stay_too(std::move(unused), scores, pieces, std::min(least, wanted), kept);
  std::vector<ScoredPiece> left;
  for (const size_t piece : kept) left.push_back(std::move(pieces[piece]));
  pieces = std::move(left);
}

}  // namespace ashlar::text
