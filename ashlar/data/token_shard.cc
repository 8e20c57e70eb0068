#include "ashlar/data/token_shard.h"

#include "ashlar/base/checksum.h"
#include "ashlar/base/error.h"
#include "ashlar/data/shard_format.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace ashlar::data {
namespace {

constexpr uint64_t kMostTokens = uint64_t{1} << 40;  // keeps sums of header fields from overflowing

// Of llm.c's data loaders (llmc/dataloader.h).
constexpr size_t kLlmCHeaderBytes = 256 * sizeof(int32_t);
constexpr int32_t kLlmCMagic = 20240520;
constexpr int32_t kLlmCVersion = 1;

template <typename T>
void widen(const std::byte* from, std::span<int32_t> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    T token;
    std::memcpy(&token, from + i * sizeof(T), sizeof(T));
    out[i] = static_cast<int32_t>(token);
  }
}

// Tells one corpus from another without reading gigabytes: the first 4 KiB of each 64th of the
// file.
uint64_t sample_checksum(std::span<const std::byte> bytes) {
  constexpr size_t kSamples = 64, kSampleBytes = 4096;
  Xxh64 hash;
  for (size_t i = 0; i < kSamples; ++i) {
    const auto rest = bytes.subspan(bytes.size() / kSamples * i);
    hash.update(rest.first(std::min(kSampleBytes, rest.size())));
  }
  return hash.digest();
}

}  // namespace

TokenShard TokenShard::open(const std::string& path) {
  TokenShard shard;
  shard.file_ = MappedFile(path);
  const auto bytes = shard.file_.bytes();
  int32_t word = 0;
  if (bytes.size() >= sizeof(word)) std::memcpy(&word, bytes.data(), sizeof(word));
  if (path.ends_with(".tok")) {
    shard.open_ours();
    return shard;
  }
  if (word == kLlmCMagic && bytes.size() >= kLlmCHeaderBytes) {
    shard.open_llm_c();
  } else {
    shard.open_bare();
  }
  shard.content_checksum_ = sample_checksum(bytes);
  return shard;
}

void TokenShard::refuse(const std::string& reason) const {
  fail("token shard {}: {}", path(), reason);
}

void TokenShard::open_ours() {
  const auto bytes = file_.bytes();
  if (bytes.size() < sizeof(ShardHeader)) {
    refuse(fmt::format("{} bytes, less than a header; it is torn", bytes.size()));
  }
  ShardHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::string_view(header.magic, sizeof(header.magic)) != kShardMagic) {
    refuse("it does not start with ASHTOKEN, so it is no token shard");
  }
  if (header.version != kShardVersion) {
    refuse(fmt::format("version {}, this program reads {}", header.version, kShardVersion));
  }
  if (header.header_checksum != xxh64(bytes.first(offsetof(ShardHeader, header_checksum)))) {
    refuse("the header's checksum does not fit; the file was altered");
  }
  const bool known_width = header.token_bytes == 2 || header.token_bytes == 4;
  if (!known_width || header.tokens > kMostTokens || header.documents > header.tokens ||
      header.vocab_size > uint64_t{1} << 31) {
    refuse("its header contradicts itself");
  }
  const ShardLayout layout = shard_layout(header);
  if (layout.end != bytes.size()) {
    refuse(fmt::format("{} bytes, its header says {}; it is torn", bytes.size(), layout.end));
  }
  ours_ = true;
  token_bytes_ = header.token_bytes;
  first_token_ = bytes.data() + sizeof(ShardHeader);
  tokens_ = static_cast<int64_t>(header.tokens);
  if ((header.flags & kShardHasMask) != 0) {
    mask_ = bytes.subspan(layout.mask, layout.starts - layout.mask);
  }
  // Aligned: pages are, and so is every part.
  starts_ = {reinterpret_cast<const uint64_t*>(bytes.data() + layout.starts), header.documents};
  text_bytes_ = static_cast<int64_t>(header.text_bytes);
  vocab_size_ = static_cast<int64_t>(header.vocab_size);
  tokenizer_ = header.tokenizer;
  content_checksum_ = header.content_checksum;
}

void TokenShard::open_llm_c() {
  const auto bytes = file_.bytes();
  std::array<int32_t, 3> header;  // magic, version, tokens
  std::memcpy(header.data(), bytes.data(), sizeof(header));
  if (header[1] != kLlmCVersion) {
    refuse(
        fmt::format("llm.c shard of version {}, this program reads {}", header[1], kLlmCVersion));
  }
  tokens_ = header[2];
  if (tokens_ < 0 || static_cast<uint64_t>(tokens_) * 2 + kLlmCHeaderBytes != bytes.size()) {
    refuse(fmt::format("{} bytes, but its llm.c header speaks of {} tokens; it is torn",
                       bytes.size(), tokens_));
  }
  first_token_ = bytes.data() + kLlmCHeaderBytes;
}

void TokenShard::open_bare() {
  const auto bytes = file_.bytes();
  if (bytes.size() % 2 != 0)
    refuse(fmt::format("{} bytes, an odd number of them, are not uint16 tokens", bytes.size()));
  tokens_ = static_cast<int64_t>(bytes.size() / 2);
  first_token_ = bytes.data();
}

void TokenShard::verify() const {
  if (!ours_) return;
  if (xxh64(file_.bytes().subspan(sizeof(ShardHeader))) != content_checksum_) {
    refuse("the checksum does not fit; the file was altered");
  }
  const bool ascending = std::ranges::is_sorted(starts_, std::less_equal<>());
  if (!ascending || (!starts_.empty() && starts_.back() >= static_cast<uint64_t>(tokens_))) {
    refuse("its list of documents contradicts itself");
  }
}

void TokenShard::read(int64_t first, std::span<int32_t> out) const {
  ASHLAR_DCHECK(first >= 0 && first + static_cast<int64_t>(out.size()) <= tokens_);
  const std::byte* from = first_token_ + static_cast<size_t>(first) * token_bytes_;
  if (token_bytes_ == 2) {
    widen<uint16_t>(from, out);
  } else {
    widen<uint32_t>(from, out);
  }
}

int64_t TokenShard::count(int64_t first, int64_t end) const {
  if (mask_.empty()) return end - first;
  int64_t total = 0;
  while (first < end && first % 8 != 0) total += counted(first++);
  for (; first + 64 <= end; first += 64) {
    uint64_t word;
    std::memcpy(&word, mask_.data() + first / 8, sizeof(word));
    total += std::popcount(word);
  }
  while (first < end) total += counted(first++);
  return total;
}

}  // namespace ashlar::data
