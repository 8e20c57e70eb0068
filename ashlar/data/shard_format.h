// The file format of token shards (.tok), little-endian:
//   header    128 bytes, below
//   tokens    u16 or u32 each; zeros up to a multiple of 8 bytes
//   mask      where flag 1 is set: bit i%8 of byte i/8 says whether token i counts in the loss;
//   zeros
//             up to a multiple of 8 bytes; without it all tokens count
//   starts    u64 each, ascending: the tokens at which documents start. A shard that does not start
//             with a document goes on with the last one of the shard before.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ashlar::data {

static_assert(std::endian::native == std::endian::little, "shards are read as they lie");

inline constexpr std::string_view kShardMagic = "ASHTOKEN";
inline constexpr uint32_t kShardVersion = 1;
inline constexpr uint32_t kShardHasMask = 1;

struct ShardHeader {
  char magic[8];
  uint32_t version;
  uint32_t token_bytes;  // 2 or 4
  uint64_t tokens;
  uint64_t documents;   // that start in this shard
  uint64_t text_bytes;  // of the text behind the tokens
  uint64_t vocab_size;  // of the tokenizer; every token is below
  uint64_t tokenizer;   // its fingerprint
  uint32_t flags;
  uint32_t reserved[13];      // zeros
  uint64_t content_checksum;  // XXH64 of everything after the header
  uint64_t header_checksum;   // XXH64 of the header before this field
};
static_assert(sizeof(ShardHeader) == 128);

// Where the parts lie.
struct ShardLayout {
  uint64_t mask = 0, starts = 0, end = 0;  // byte offsets in the file
};
constexpr uint64_t align8(uint64_t bytes) { return (bytes + 7) / 8 * 8; }
constexpr ShardLayout shard_layout(const ShardHeader& header) {
  ShardLayout layout;
  layout.mask = sizeof(ShardHeader) + align8(header.tokens * header.token_bytes);
  const bool has_mask = (header.flags & kShardHasMask) != 0;
  layout.starts = layout.mask + (has_mask ? align8((header.tokens + 7) / 8) : 0);
  layout.end = layout.starts + header.documents * 8;
  return layout;
}

}  // namespace ashlar::data
