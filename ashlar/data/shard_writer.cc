#include "ashlar/data/shard_writer.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/file_writer.h"
#include "ashlar/data/shard_format.h"

#include <algorithm>
#include <utility>

namespace ashlar::data {
namespace {

template <typename T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

void pad8(std::vector<std::byte>& bytes) { bytes.resize(align8(bytes.size())); }

}  // namespace

ShardWriter::ShardWriter(std::string folder, const ShardWriterOptions& options)
    : folder_(std::move(folder)),
      options_(options),
      token_bytes_(options.vocab_size <= 65536 ? 2 : 4) {}

void ShardWriter::append(std::span<const int32_t> tokens, std::span<const uint8_t> counted,
                         std::span<const int64_t> starts, int64_t text_bytes) {
  text_bytes_ += text_bytes;
  shard_text_bytes_ += text_bytes;
  size_t done = 0;
  while (done < tokens.size()) {
    if (shard_count_ == options_.shard_tokens) write_shard();
    if (std::exchange(start_pending_, false)) start_document(0);
    const auto room = static_cast<size_t>(options_.shard_tokens - shard_count_);
    const size_t end = std::min(tokens.size(), done + room);
    for (; !starts.empty() && static_cast<size_t>(starts.front()) < end;
         starts = starts.subspan(1)) {
      start_document(static_cast<uint64_t>(starts.front()) - done);
    }
    append_to_shard(tokens.subspan(done, end - done),
                    counted.empty() ? counted : counted.subspan(done, end - done));
    done = end;
  }
  if (!starts.empty()) start_pending_ = true;
}

// `token` is counted from the end of what the shard has.
void ShardWriter::start_document(uint64_t token) {
  const uint64_t start = static_cast<uint64_t>(shard_count_) + token;
  if (!starts_.empty() && starts_.back() == start) return;
  starts_.push_back(start);
  ++documents_;
}

void ShardWriter::append_to_shard(std::span<const int32_t> tokens,
                                  std::span<const uint8_t> counted) {
  const size_t old_bytes = shard_tokens_.size();
  shard_tokens_.resize(old_bytes + tokens.size() * token_bytes_);
  std::byte* to = shard_tokens_.data() + old_bytes;
  for (const int32_t token : tokens) {
    ASHLAR_CHECK(token >= 0 && token < options_.vocab_size,
                 "data: the tokenizer gave token {}, beyond its vocabulary of {}", token,
                 options_.vocab_size);
    std::memcpy(to, &token, token_bytes_);  // little-endian: the low bytes come first
    to += token_bytes_;
  }
  const auto first = static_cast<size_t>(shard_count_);
  mask_.resize((first + tokens.size() + 7) / 8);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool counts = counted.empty() || counted[i] != 0;
    if (counts) mask_[(first + i) / 8] |= std::byte{1} << ((first + i) % 8);
    has_mask_ |= !counts;
  }
  shard_count_ += static_cast<int64_t>(tokens.size());
  tokens_ += static_cast<int64_t>(tokens.size());
}

void ShardWriter::write_shard() {
  ShardHeader header{};
  kShardMagic.copy(header.magic, kShardMagic.size());
  header.version = kShardVersion;
  header.token_bytes = static_cast<uint32_t>(token_bytes_);
  header.tokens = static_cast<uint64_t>(shard_count_);
  header.documents = starts_.size();
  header.text_bytes = static_cast<uint64_t>(shard_text_bytes_);
  header.vocab_size = static_cast<uint64_t>(options_.vocab_size);
  header.tokenizer = options_.tokenizer;
  header.flags = has_mask_ ? kShardHasMask : 0;
  pad8(shard_tokens_);
  pad8(mask_);
  if (!has_mask_) mask_.clear();
  Xxh64 content;
  content.update(shard_tokens_);
  content.update(mask_);
  content.update(bytes_of(starts_));
  header.content_checksum = content.digest();
  const auto header_bytes = std::as_bytes(std::span(&header, 1));
  header.header_checksum = xxh64(header_bytes.first(offsetof(ShardHeader, header_checksum)));

  const std::string name = fmt::format("{:05}.tok", shards_.size());
  FileWriter file(join_path(folder_, name), {.append = false, .label = "data.shard"});
  file.write(header_bytes);
  file.write(shard_tokens_);
  file.write(mask_);
  file.write(bytes_of(starts_));
  file.close();
  shards_.push_back({name, file.bytes(), file.checksum()});

  shard_count_ = 0;
  shard_text_bytes_ = 0;
  shard_tokens_.clear();
  mask_.clear();
  starts_.clear();
  has_mask_ = false;
}

std::vector<ShardInfo> ShardWriter::finish() {
  if (shard_count_ > 0) write_shard();
  return std::move(shards_);
}

}  // namespace ashlar::data
