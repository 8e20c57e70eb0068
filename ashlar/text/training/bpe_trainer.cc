#include "ashlar/text/training/bpe_trainer.h"

#include "ashlar/base/error.h"
#include "ashlar/text/byte_chars.h"
#include "ashlar/text/training/bpe_json.h"
#include "ashlar/text/training/pair_counts.h"
#include "ashlar/text/unicode/utf8.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace ashlar::text {
namespace {

constexpr int32_t kBytes = 256;

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using WordCounts = std::unordered_map<std::string, int64_t, StringHash, std::equal_to<>>;

// The words as tokens, with the pairs in them counted; merging a pair keeps the counts exact.
class Corpus {
 public:
  // byte_ids: the token of each byte.
  Corpus(const WordCounts& words, const std::vector<int32_t>& byte_ids) {
    for (const auto& [text, count] : words) {
      const auto index = static_cast<uint32_t>(words_.size());
      words_.push_back({symbols_.size(), text.size(), count});
      for (const char byte : text) symbols_.push_back(byte_ids[static_cast<uint8_t>(byte)]);
      const int32_t* const s = symbols_.data() + words_.back().offset;
      for (size_t i = 0; i + 1 < text.size(); ++i) pairs_.change(s[i], s[i + 1], count, index);
    }
    merged_in_.assign(words_.size(), -1);
  }

  PairCounts& pairs() { return pairs_; }

  // Replaces the top pair by `token` in every word.
  void merge_top(int32_t token, int32_t step) {
    const int32_t left = pairs_.top()->left;
    const int32_t right = pairs_.top()->right;
    for (const uint32_t word : pairs_.take_words_of_top()) {
      if (std::exchange(merged_in_[word], step) != step) merge_in(word, left, right, token);
    }
  }

 private:
  struct Word {
    size_t offset, length;  // of its tokens in symbols_
    int64_t count;
  };

  void merge_in(uint32_t index, int32_t left, int32_t right, int32_t token) {
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

  std::vector<Word> words_;
  std::vector<int32_t> symbols_;
  std::vector<int32_t> merged_in_;  // by word: the last step that visited it
  PairCounts pairs_;
  std::vector<int32_t> before_;  // work space of merge_in
  std::vector<bool> was_merged_, is_merged_;
};

}  // namespace

void BpeTrainOptions::validate() const {
  std::unordered_set<std::string_view> seen;
  for (const std::string& token : special_tokens) {
    ASHLAR_CHECK(!token.empty(), "tokenizer training: a special token is empty");
    ASHLAR_CHECK(valid_utf8_prefix(token) == token.size(),
                 "tokenizer training: special token {} is not UTF-8", seen.size());
    ASHLAR_CHECK(seen.insert(token).second,
                 "tokenizer training: special token \"{}\" is given twice", token);
    ASHLAR_CHECK(
        utf8_length(token[0]) < token.size() || char_byte(decode_utf8(token.data()).value) < 0,
        "tokenizer training: special token \"{}\" is a single byte's token; use a longer "
        "one",
        token);
  }
  ASHLAR_CHECK(begin_token.empty() || seen.contains(begin_token),
               "tokenizer training: begin_token \"{}\" is not among special_tokens", begin_token);
  const auto least = static_cast<int64_t>(special_tokens.size()) + kBytes;
  ASHLAR_CHECK(vocab_size >= least && vocab_size <= kMaxTokenId,
               "tokenizer training: vocab_size {} is not between {} (256 bytes and {} special "
               "tokens) and {}",
               vocab_size, least, special_tokens.size(), kMaxTokenId);
  ASHLAR_CHECK(min_frequency >= 1, "tokenizer training: min_frequency {} is not positive",
               min_frequency);
}

struct BpeTrainer::Words {
  WordCounts counts;
  int64_t bytes_read = 0;

  void add(std::string_view word) {
    const auto found = counts.find(word);
    if (found != counts.end()) {
      ++found->second;
    } else {
      counts.emplace(word, 1);
    }
  }
};

BpeTrainer::BpeTrainer(BpeTrainOptions options)
    : options_(std::move(options)), words_(std::make_unique<Words>()) {
  options_.validate();
}

BpeTrainer::~BpeTrainer() = default;

void BpeTrainer::feed(std::string_view text) {
  words_->bytes_read += static_cast<int64_t>(text.size());
  while (!text.empty()) {
    std::string_view valid = text.substr(0, valid_utf8_prefix(text));
    text.remove_prefix(valid.size());
    while (!valid.empty()) {
      const size_t length = match_word(options_.pattern, valid);
      words_->add(valid.substr(0, length));
      valid.remove_prefix(length);
    }
    // Bytes that are no text teach nothing; their tokens exist anyway.
    if (!text.empty()) text.remove_prefix(scan_utf8(text).length);
  }
}

Tokenizer BpeTrainer::train(const std::function<void(const BpeTrainProgress&)>& progress) const {
  ByteLevelBpe bpe;
  bpe.tokens = options_.special_tokens;
  bpe.special_tokens = static_cast<int32_t>(bpe.tokens.size());
  bpe.begin_token = options_.begin_token;
  bpe.pattern = options_.pattern;

  // The bytes in the order of their characters' code points, as other trainers number them.
  std::vector<int32_t> byte_ids(kBytes);
  for (char32_t c = 0; c < 2 * kBytes; ++c) {
    const int byte = char_byte(c);
    if (byte < 0) continue;
    byte_ids[static_cast<size_t>(byte)] = static_cast<int32_t>(bpe.tokens.size());
    append_utf8(bpe.tokens.emplace_back(), c);
  }
  std::unordered_map<std::string, int32_t> ids;
  for (size_t id = 0; id < bpe.tokens.size(); ++id) {
    ids.emplace(bpe.tokens[id], static_cast<int32_t>(id));
  }

  Corpus corpus(words_->counts, byte_ids);
  const auto report = [&] {
    if (!progress) return;
    progress({words_->bytes_read, static_cast<int64_t>(words_->counts.size()),
              static_cast<int32_t>(bpe.tokens.size()), options_.vocab_size});
  };
  const int32_t stride = std::max(1, options_.vocab_size / 100);
  for (int32_t step = 0; static_cast<int32_t>(bpe.tokens.size()) < options_.vocab_size; ++step) {
    if (step % stride == 0) report();
    const PairCounts::Pair* top = corpus.pairs().top();
    if (top == nullptr || top->count < options_.min_frequency) break;
    const auto [left, right] = std::pair(top->left, top->right);
    std::string token =
        bpe.tokens[static_cast<size_t>(left)] + bpe.tokens[static_cast<size_t>(right)];
    // Two ways to spell a token share its id. Text never merges into a special token.
    const auto [entry, fresh] = ids.try_emplace(token, static_cast<int32_t>(bpe.tokens.size()));
    if (entry->second < bpe.special_tokens) {
      corpus.pairs().retire_top();
      continue;
    }
    if (fresh) bpe.tokens.push_back(std::move(token));
    bpe.merges.emplace_back(left, right);
    corpus.merge_top(entry->second, step);
  }
  report();
  return Tokenizer::from_json(tokenizer_json(bpe), "the trained tokenizer");
}

Tokenizer train_bpe(const BpeTrainOptions& options, std::span<const std::string_view> sources,
                    const std::function<void(const BpeTrainProgress&)>& progress) {
  BpeTrainer trainer(options);
  for (const std::string_view source : sources) trainer.feed(source);
  return trainer.train(progress);
}

}  // namespace ashlar::text
