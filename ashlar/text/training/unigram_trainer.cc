#include "ashlar/text/training/unigram_trainer.h"

#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/training/pair_corpus.h"
#include "ashlar/text/training/text_words.h"
#include "ashlar/text/training/unigram_fit.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace ashlar::text {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kUnknown = "<unk>";
constexpr size_t kMaxWordBytes = 4096;  // a longer one is no word: it would cost much, teach little
constexpr double kShrink = 0.75;        // of the pieces, a round
constexpr double kSpare = 1.1;          // what pruning leaves, for the last choice by score
constexpr int kFitsARound = 2;

// As SentencePieceUnigramTokenizer of Hugging Face tokenizers has it.
Json normalizer_json() {
  return {{"type", "Sequence"},
          {"normalizers",
           {{{"type", "Nmt"}},
            {{"type", "NFKC"}},
            {{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", " "}}}}};
}

Json metaspace_json() {
  return {{"type", "Metaspace"},
          {"replacement", "\u2581"},
          {"prepend_scheme", "always"},
          {"split", true}};
}

std::string tokenizer_json(const std::vector<std::string>& special_tokens,
                           const std::vector<ScoredPiece>& pieces) {
  Json added = Json::array(), vocab = Json::array();
  size_t unknown = 0;
  for (size_t id = 0; id < special_tokens.size(); ++id) {
    if (special_tokens[id] == kUnknown) unknown = id;
    vocab.push_back({special_tokens[id], 0.0});
    added.push_back({{"id", id},
                     {"content", special_tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  for (const ScoredPiece& piece : pieces) vocab.push_back({piece.text, piece.score});
  const Json document = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added},
      {"normalizer", normalizer_json()},
      {"pre_tokenizer", metaspace_json()},
      {"post_processor", nullptr},
      {"decoder", metaspace_json()},
      {"model",
       {{"type", "Unigram"}, {"unk_id", unknown}, {"vocab", vocab}, {"byte_fallback", false}}}};
  return document.dump(2) + "\n";
}

// The most frequent characters, as many as have room.
std::set<std::string, std::less<>> known_characters(const std::map<std::string, int64_t>& words,
                                                    size_t room) {
  std::map<std::string_view, int64_t> counts;
  for (const auto& [word, count] : words) {
    const std::string_view text = word;
    for (size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
      counts[text.substr(at, utf8_length(text[at]))] += count;
    }
  }
  std::vector<std::pair<int64_t, std::string_view>> by_count;
  for (const auto& [character, count] : counts) by_count.emplace_back(-count, character);
  std::ranges::sort(by_count);
  by_count.resize(std::min(by_count.size(), room));
  std::set<std::string, std::less<>> known;
  for (const auto& [count, character] : by_count) known.emplace(character);
  return known;
}

// The words, cut where a character is not known.
std::vector<CountedWord> known_parts(const std::map<std::string, int64_t>& words,
                                     const std::set<std::string, std::less<>>& known) {
  std::map<std::string, int64_t> parts;
  for (const auto& [word, count] : words) {
    std::string part;
    const auto finish = [&] {
      if (!part.empty()) parts[std::exchange(part, {})] += count;
    };
    for (size_t at = 0; at < word.size(); at += utf8_length(word[at])) {
      const std::string_view character = std::string_view(word).substr(at, utf8_length(word[at]));
      if (known.contains(character)) {
        part += character;
      } else {
        finish();
      }
    }
    finish();
  }
  std::vector<CountedWord> result;
  for (const auto& [text, count] : parts) result.push_back({text, count});
  return result;
}

int64_t rounds_from(size_t pieces, size_t wanted) {
  int64_t rounds = 0;
  for (auto left = static_cast<double>(pieces); left > static_cast<double>(wanted); ++rounds) {
    left *= kShrink;
  }
  return rounds;
}

}  // namespace

void UnigramTrainOptions::validate() const {
  std::set<std::string_view> seen;
  for (const std::string& token : special_tokens) {
    ASHLAR_CHECK(!token.empty() && seen.insert(token).second,
                 "tokenizer training: special token \"{}\" is empty or given twice", token);
  }
  ASHLAR_CHECK(seen.contains(kUnknown), "tokenizer training: Unigram needs the special token {}",
               kUnknown);
  ASHLAR_CHECK(vocab_size > std::ssize(special_tokens) && vocab_size <= kMaxTokenId,
               "tokenizer training: vocab_size {} is not above {} special tokens and at most {}",
               vocab_size, special_tokens.size(), kMaxTokenId);
  ASHLAR_CHECK(seed_size >= 1, "tokenizer training: seed_size {} is not positive", seed_size);
}

UnigramTrainer::UnigramTrainer(UnigramTrainOptions options) : options_(std::move(options)) {
  options_.validate();
  words_ =
      std::make_unique<TextWords>(normalizer_json().dump(), metaspace_json().dump(), kMaxWordBytes);
}

UnigramTrainer::~UnigramTrainer() = default;

void UnigramTrainer::feed(std::string_view text) { words_->feed(text); }

Tokenizer UnigramTrainer::train(
    const std::function<void(int64_t done, int64_t all)>& progress) const {
  const size_t room = static_cast<size_t>(options_.vocab_size) - options_.special_tokens.size();
  // In order, so that sums do not depend on how words are hashed.
  const std::map<std::string, int64_t> all_words(words_->counts().begin(), words_->counts().end());
  const std::vector<CountedWord> words = known_parts(all_words, known_characters(all_words, room));

  std::vector<ScoredPiece> pieces = seed_pieces(words, static_cast<size_t>(options_.seed_size));
  const auto wanted = static_cast<size_t>(std::ceil(kSpare * static_cast<double>(room)));
  const int64_t rounds = rounds_from(pieces.size(), wanted);
  for (int64_t round = 1;; ++round) {
    for (int fit = 0; fit < kFitsARound; ++fit) fit_scores(words, pieces, wanted);
    if (progress) progress(std::min(round, rounds), rounds);
    if (pieces.size() <= wanted) break;
    const size_t before = pieces.size();
    prune_pieces(words, pieces,
                 std::max(wanted, static_cast<size_t>(kShrink * static_cast<double>(before))),
                 wanted);
    if (pieces.size() == before) break;  // characters only
  }

  // Characters first of all, then by score.
  std::ranges::sort(pieces, [](const ScoredPiece& a, const ScoredPiece& b) {
    return std::tuple(!a.character, -a.score, std::string_view(a.text)) <
           std::tuple(!b.character, -b.score, std::string_view(b.text));
  });
  const auto is_special = [&](const ScoredPiece& piece) {
    return std::ranges::count(options_.special_tokens, piece.text) > 0;
  };
  std::erase_if(pieces, is_special);
  pieces.resize(std::min(pieces.size(), room));
  std::ranges::sort(pieces, [](const ScoredPiece& a, const ScoredPiece& b) {
    return std::tuple(-a.score, std::string_view(a.text)) <
           std::tuple(-b.score, std::string_view(b.text));
  });
  return Tokenizer::from_json(tokenizer_json(options_.special_tokens, pieces),
                              "the learnt tokenizer");
}

}  // namespace ashlar::text
