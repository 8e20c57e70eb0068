// All the tokens of one source as one stream: its shards one after the other, with the documents in
// them. Immutable, and read by any number of threads at once.
#pragma once

#include "ashlar/data/token_shard.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ashlar::data {

class TokenSet {
 public:
  // document_end marks the ends of documents in shards that do not list them; -1: nothing does.
  // name is what messages call the source.
  TokenSet(std::string name, std::vector<TokenShard> shards, int64_t vocab_size,
           int32_t document_end);

  const std::string& name() const { return name_; }
  int64_t tokens() const { return token_base_.back(); }
  int64_t text_bytes() const { return text_bytes_; }  // 0: not known
  int32_t document_end() const { return document_end_; }
  bool has_mask() const { return has_mask_; }
  uint64_t fingerprint() const { return fingerprint_; }

  // Copies tokens [first, first + out.size()). Throws on one beyond the vocabulary.
  void read(int64_t first, std::span<int32_t> out) const;
  bool counted(int64_t token) const;
  int64_t count(int64_t first, int64_t end) const;  // of [first, end), those that count
  // Puts -1 where token first + i does not count.
  void mask(int64_t first, std::span<int32_t> targets) const;

  // Whether documents() and document_start() may be asked.
  bool lists_documents() const { return lists_documents_; }
  int64_t documents() const { return document_base_.back(); }
  // Its first token; that of document number documents() is tokens().
  int64_t document_start(int64_t document) const;

  // Calls visit(token) for each token in [first, end) at which a document starts, in order.
  template <typename Visit>
  void each_start(int64_t first, int64_t end, Visit&& visit) const {
    if (!lists_documents_) {
      for (int64_t i = first; i < end; ++i) {
        if (starts_unlisted(i)) visit(i);
      }
      return;
    }
    for (int64_t d = first_document_from(first); d < documents(); ++d) {
      const int64_t start = document_start(d);
      if (start >= end) return;
      visit(start);
    }
  }

 private:
  size_t shard_of(int64_t token) const;
  int64_t first_document_from(int64_t token) const;
  bool starts_unlisted(int64_t token) const;

  std::string name_;
  std::vector<TokenShard> shards_;
  int64_t vocab_size_;
  int32_t document_end_;
  int64_t text_bytes_ = 0;
  bool has_mask_ = false;
  bool lists_documents_ = true;
  uint64_t fingerprint_ = 0;
  std::vector<int64_t> token_base_;     // [shards + 1]
  std::vector<int64_t> document_base_;  // [shards + 1]
};

}  // namespace ashlar::data
