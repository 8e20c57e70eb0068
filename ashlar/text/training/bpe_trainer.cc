#include "ashlar/text/training/bpe_trainer.h"

#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/byte_chars.h"
#include "ashlar/text/training/bpe_json.h"
#include "ashlar/text/training/pair_corpus.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace ashlar::text {
namespace {

constexpr int32_t kBytes = 256;

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
      count_word(words_->counts, valid.substr(0, length));
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

  PairCorpus corpus;
  std::vector<int32_t> symbols;
  for (const auto& [word, count] : words_->counts) {
    symbols.clear();
    for (const char byte : word) symbols.push_back(byte_ids[static_cast<uint8_t>(byte)]);
    corpus.add_word(symbols, count);
  }
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
