// Unigram: of all ways to cut a piece into tokens, the one whose scores (logarithms of
// probabilities) have the largest sum, found by Viterbi's algorithm. A character without a token of
// its own can be unknown, at a price; unknown neighbours are one. (Kudo, "Subword Regularization",
// 2018; SentencePiece.)
#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/models/byte_trie.h"
#include "ashlar/text/models/model.h"
#include "ashlar/text/models/suffix_links.h"
#include "ashlar/text/models/word_cache.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <unordered_set>

namespace ashlar::text {
namespace {

constexpr double kUnknownPenalty = 10;  // below the worst token's score
constexpr size_t kWalkBytes = 64;       // where tokens are longer, links beat walks

bool utf8_continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

struct UnigramScratch : ModelScratch {
  // The best way to reach a place in the piece: its last token and where that begins.
  struct Best {
    double score = 0;
    size_t begin = kNowhere;
    int32_t id = -1;
  };
  static constexpr size_t kNowhere = SIZE_MAX;
  std::vector<Best> best;  // by byte offset
  std::vector<std::string_view> tokens;
  std::vector<int32_t> ids;
  std::string text;
  WordCache cache;
};

class Unigram : public Model {
 public:
  explicit Unigram(JsonView json) : trie_(read_vocab(json)) {
    if (longest_ > kWalkBytes) links_.emplace(trie_);
    if (const auto unknown = json.find("unk_id")) {
      unknown_ = static_cast<int32_t>(unknown->integer(0, vocabulary_.size() - 1));
    }
    for (const char* key : {"alpha", "nbest_size"}) {
      if (const auto sampling = json.find(key); sampling && sampling->number() != 0) {
        sampling->fail("sampling makes ids random, which is not supported; set it to null");
      }
    }
    byte_fallback_ = json.boolean_or("byte_fallback", false);
    for (size_t byte = 0; byte < bytes_.size(); ++byte) {
      bytes_[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(-1);
    }
  }

  std::string_view type() const override { return "Unigram"; }
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::unique_ptr<ModelScratch> make_scratch() const override {
    return std::make_unique<UnigramScratch>();
  }

  void tokenize(std::string_view piece, Alphabet alphabet, ModelScratch& scratch,
                std::vector<int32_t>& ids) const override {
    auto& work = static_cast<UnigramScratch&>(scratch);
    piece = piece_text(piece, alphabet, work.text);
    if (piece.empty()) return;
    const bool short_enough = piece.size() <= WordCache::kMaxBytes;
    if (short_enough) {
      const std::span<const int32_t> known = work.cache.find(piece);
      if (!known.empty()) {
        ids.insert(ids.end(), known.begin(), known.end());
        return;
      }
    }
    work.ids.clear();
    cut(piece, work);
    for (const std::string_view token : work.tokens) append_ids(token, work.ids);
    if (short_enough) work.cache.store(piece, work.ids);
    ids.insert(ids.end(), work.ids.begin(), work.ids.end());
  }

 private:
  // Fills vocabulary_ and scores_ on the way. "never_matched", a key of ours: ids of tokens that
  // stand for no text (bytes, control tokens), as SentencePiece has them.
  std::vector<ByteTrie::Entry> read_vocab(JsonView json) {
    const JsonView vocab = json.at("vocab");
    if (const auto ids = json.find("never_matched")) {
      for (size_t i = 0; i < ids->size(); ++i) {
        never_matched_.insert(ids->element(i).integer(0, kMaxTokenId));
      }
    }
    double lowest = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < vocab.size(); ++i) {
      const JsonView row = vocab.element(i);
      if (row.size() != 2)
        row.fail(fmt::format("wanted a token and its score, found {}", row.size()));
      const std::string_view token = row.element(0).string();
      if (i > kMaxTokenId) vocab.fail(fmt::format("more than {} tokens", kMaxTokenId));
      // Of equal tokens the last counts, as in Hugging Face tokenizers; the others are never met.
      const auto id = static_cast<int32_t>(i);
      if (!vocabulary_.add(token, id)) vocabulary_.add_again(token, id);
      scores_.push_back(row.element(1).number());
      if (!std::isfinite(scores_.back())) row.element(1).fail("wanted a finite score");
      if (!never_matched_.contains(id)) lowest = std::min(lowest, scores_.back());
    }
    unknown_score_ = lowest - kUnknownPenalty;
    std::vector<ByteTrie::Entry> entries;
    for (int32_t id = 0; id < vocabulary_.size(); ++id) {
      if (never_matched_.contains(id)) continue;
      entries.emplace_back(*vocabulary_.token(id), id);
      longest_ = std::max(longest_, entries.back().first.size());
    }
    return entries;
  }

  // Offers a last token to the place where it ends: the first of the best ones stays.
  static void offer(std::vector<UnigramScratch::Best>& best, size_t begin, size_t length,
                    int32_t id, double score) {
    const double sum = best[begin].score + score;
    auto& end = best[begin + length];
    if (end.begin != UnigramScratch::kNowhere && sum <= end.score) return;
    end = {sum, begin, id};
  }

  // From each place on, by walks.
  void fill_forward(std::string_view piece, std::vector<UnigramScratch::Best>& best) const {
    for (size_t begin = 0; begin < piece.size();) {
      const size_t length = utf8_length(piece[begin]);
      bool has_single = false;
      trie_.each_prefix(piece.substr(begin), [&](size_t bytes, int32_t id) {
        offer(best, begin, bytes, id, scores_[static_cast<size_t>(id)]);
        has_single = has_single || bytes == length;
      });
      if (!has_single) {
        offer(best, begin, length, unknown(piece.substr(begin, length)), unknown_score_);
      }
      begin += length;
    }
  }

  // The same offers in the same order for each place, which is their end.
  void fill_by_ends(std::string_view piece, std::vector<UnigramScratch::Best>& best) const {
    size_t character = 0, end_of_last = 0;  // where the one at hand begins, bytes so far
    bool has_single = false;
    links_->each_end(
        trie_, piece,
        [&](size_t length, int32_t id) {
          const size_t begin = end_of_last + 1 - length;
          if (utf8_continues(piece[begin])) return;
          offer(best, begin, length, id, scores_[static_cast<size_t>(id)]);
          has_single = has_single || begin == character;
        },
        [&](size_t end) {
          end_of_last = end;
          const size_t length = utf8_length(piece[character]);
          if (end < character + length) return;
          if (!has_single) {
            offer(best, character, length, unknown(piece.substr(character, length)),
                  unknown_score_);
          }
          character = end;
          has_single = false;
        });
  }

  void cut(std::string_view piece, UnigramScratch& work) const {
    auto& best = work.best;
    best.assign(piece.size() + 1, {});
    if (links_) {
      fill_by_ends(piece, best);
    } else {
      fill_forward(piece, best);
    }

    // From the end back; neighbours that are unknown become one.
    work.tokens.clear();
    size_t unknown_end = 0;
    for (size_t end = piece.size(); end > 0;) {
      const auto& last = best[end];
      if (last.id == unknown_) {
        if (unknown_end == 0) unknown_end = end;
      } else {
        if (unknown_end > 0) work.tokens.push_back(piece.substr(end, unknown_end - end));
        unknown_end = 0;
        work.tokens.push_back(piece.substr(last.begin, end - last.begin));
      }
      end = last.begin;
    }
    if (unknown_end > 0) work.tokens.push_back(piece.substr(0, unknown_end));
    std::reverse(work.tokens.begin(), work.tokens.end());
  }

  void append_ids(std::string_view token, std::vector<int32_t>& ids) const {
    if (const auto id = vocabulary_.find(token); id && !never_matched_.contains(*id)) {
      ids.push_back(*id);
      return;
    }
    const auto byte_id = [&](char byte) { return bytes_[static_cast<unsigned char>(byte)]; };
    if (byte_fallback_ &&
        std::ranges::all_of(token, [&](char byte) { return byte_id(byte) >= 0; })) {
      for (const char byte : token) ids.push_back(byte_id(byte));
    } else {
      ids.push_back(unknown(token));
    }
  }

  int32_t unknown(std::string_view text) const {
    ASHLAR_CHECK(unknown_ >= 0,
                 "Unigram model: \"{}\" is no token and the model has no unk_id; give it one",
                 text);
    return unknown_;
  }

  Vocabulary vocabulary_;
  std::vector<double> scores_;  // by id
  std::unordered_set<int64_t> never_matched_;
  double unknown_score_ = 0;
  size_t longest_ = 0;  // bytes of a token
  ByteTrie trie_;
  std::optional<SuffixLinks> links_;
  int32_t unknown_ = -1;
  bool byte_fallback_ = false;
  std::array<int32_t, 256> bytes_;  // <0x00> to <0xFF>
};

}  // namespace

std::unique_ptr<Model> make_unigram(JsonView json) { return std::make_unique<Unigram>(json); }

}  // namespace ashlar::text
