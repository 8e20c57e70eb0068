#include "ashlar/data/token_set.h"

#include "ashlar/base/checksum.h"
#include "ashlar/base/error.h"

#include <algorithm>
#include <utility>

namespace ashlar::data {
namespace {

// The index i with bases[i] <= value < bases[i + 1].
size_t interval_of(const std::vector<int64_t>& bases, int64_t value) {
  return static_cast<size_t>(std::ranges::upper_bound(bases, value) - bases.begin()) - 1;
}

}  // namespace

TokenSet::TokenSet(std::string name, std::vector<TokenShard> shards, int64_t vocab_size,
                   int32_t document_end)
    : name_(std::move(name)),
      shards_(std::move(shards)),
      vocab_size_(vocab_size),
      document_end_(document_end),
      token_base_{0},
      document_base_{0} {
  Xxh64 hash;
  for (const TokenShard& shard : shards_) {
    token_base_.push_back(tokens() + shard.tokens());
    document_base_.push_back(documents() + static_cast<int64_t>(shard.starts().size()));
    text_bytes_ += shard.text_bytes();
    has_mask_ |= shard.has_mask();
    lists_documents_ &= shard.lists_documents();
    const uint64_t identity[] = {static_cast<uint64_t>(shard.tokens()), shard.content_checksum()};
    hash.update(std::as_bytes(std::span(identity)));
  }
  fingerprint_ = hash.digest();
  ASHLAR_CHECK(tokens() >= 2, "data {}: {} tokens; a prediction needs two", name_, tokens());
}

size_t TokenSet::shard_of(int64_t token) const { return interval_of(token_base_, token); }

void TokenSet::read(int64_t first, std::span<int32_t> out) const {
  size_t shard = out.empty() ? 0 : shard_of(first);
  for (size_t done = 0; done < out.size(); ++shard) {
    const int64_t at = first + static_cast<int64_t>(done) - token_base_[shard];
    const auto there = static_cast<size_t>(shards_[shard].tokens() - at);
    const auto part = out.subspan(done, std::min(there, out.size() - done));
    shards_[shard].read(at, part);
    // As unsigned numbers, so that one comparison also finds what would be negative.
    uint32_t largest = 0;
    for (const int32_t token : part) largest = std::max(largest, static_cast<uint32_t>(token));
    if (static_cast<int64_t>(largest) >= vocab_size_) {
      const auto bad = std::ranges::find(part, static_cast<int32_t>(largest));
      fail(
          "data {}: token {} at {} is beyond the vocabulary of {}; were the tokens made with "
          "another tokenizer?",
          shards_[shard].path(), largest, at + (bad - part.begin()), vocab_size_);
    }
    done += part.size();
  }
}

bool TokenSet::counted(int64_t token) const {
  if (!has_mask_) return true;
  const size_t shard = shard_of(token);
  return shards_[shard].counted(token - token_base_[shard]);
}

int64_t TokenSet::count(int64_t first, int64_t end) const {
  if (!has_mask_) return end - first;
  int64_t total = 0;
  while (first < end) {
    const size_t shard = shard_of(first);
    const int64_t stop = std::min(end, token_base_[shard + 1]);
    total += shards_[shard].count(first - token_base_[shard], stop - token_base_[shard]);
    first = stop;
  }
  return total;
}

void TokenSet::mask(int64_t first, std::span<int32_t> targets) const {
  if (!has_mask_) return;
  size_t shard = targets.empty() ? 0 : shard_of(first);
  for (size_t i = 0; i < targets.size(); ++i) {
    const int64_t token = first + static_cast<int64_t>(i);
    while (token >= token_base_[shard + 1]) ++shard;
    if (!shards_[shard].counted(token - token_base_[shard])) targets[i] = -1;
  }
}

int64_t TokenSet::document_start(int64_t document) const {
  ASHLAR_DCHECK(lists_documents_ && document >= 0 && document <= documents());
  if (document == documents()) return tokens();
  const size_t shard = interval_of(document_base_, document);
  const auto within = static_cast<size_t>(document - document_base_[shard]);
  return token_base_[shard] + static_cast<int64_t>(shards_[shard].starts()[within]);
}

int64_t TokenSet::first_document_from(int64_t token) const {
  if (token >= tokens()) return documents();
  const size_t shard = shard_of(token);
  const auto starts = shards_[shard].starts();
  const auto within = static_cast<uint64_t>(token - token_base_[shard]);
  return document_base_[shard] + (std::ranges::lower_bound(starts, within) - starts.begin());
}

// The token after an end-of-document token starts a document.
bool TokenSet::starts_unlisted(int64_t token) const {
  if (token == 0) return true;
  int32_t before = 0;
  read(token - 1, {&before, 1});
  return before == document_end_;
}

}  // namespace ashlar::data
