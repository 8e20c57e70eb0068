// One mapped file of tokens: a shard of ours (shard_format.h), a shard of llm.c (256 int32 of
// header, magic 20240520, then uint16), or bare uint16 as nanoGPT writes them. The last two have no
// mask and no list of documents.
#pragma once

#include "ashlar/base/mapped_file.h"

#include <cstdint>
#include <span>
#include <string>

namespace ashlar::data {

class TokenShard {
 public:
  // Throws on a file that is no shard, is cut short or contradicts itself. The content is not read;
  // verify() does that.
  static TokenShard open(const std::string& path);

  // Reads all of a shard of ours and throws where it is not what was written.
  void verify() const;

  const std::string& path() const { return file_.path(); }
  int64_t tokens() const { return tokens_; }
  bool lists_documents() const { return ours_; }
  std::span<const uint64_t> starts() const { return starts_; }
  bool has_mask() const { return !mask_.empty(); }

  // Of the content; for files that are not ours, of samples of it.
  uint64_t content_checksum() const { return content_checksum_; }
  // Of a shard of ours; else 0.
  int64_t text_bytes() const { return text_bytes_; }
  int64_t vocab_size() const { return vocab_size_; }
  uint64_t tokenizer() const { return tokenizer_; }

  // Copies tokens [first, first + out.size()).
  void read(int64_t first, std::span<int32_t> out) const;
  bool counted(int64_t token) const {
    const auto i = static_cast<size_t>(token);
    return mask_.empty() || ((mask_[i / 8] >> (i % 8)) & std::byte{1}) != std::byte{0};
  }
  // How many of tokens [first, end) count.
  int64_t count(int64_t first, int64_t end) const;

 private:
  void open_ours();
  void open_llm_c();
  void open_bare();
  [[noreturn]] void refuse(const std::string& reason) const;

  MappedFile file_;
  bool ours_ = false;
  size_t token_bytes_ = 2;
  const std::byte* first_token_ = nullptr;
  int64_t tokens_ = 0;
  std::span<const std::byte> mask_;
  std::span<const uint64_t> starts_;
  int64_t text_bytes_ = 0, vocab_size_ = 0;
  uint64_t tokenizer_ = 0, content_checksum_ = 0;
};

}  // namespace ashlar::data
