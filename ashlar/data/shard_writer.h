// Writes tokens into a folder as shards 00000.tok, 00001.tok, ... of a bounded size. One shard is
// held in memory; a document may go on in the next one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ashlar::data {

struct ShardInfo {
  std::string file;  // its name in the folder
  int64_t bytes = 0;
  uint64_t checksum = 0;  // XXH64 of the whole file
};

struct ShardWriterOptions {
  int64_t vocab_size = 0;  // up to 65536: two bytes a token, else four
  uint64_t tokenizer = 0;  // fingerprint
  int64_t shard_tokens = int64_t{1} << 25;
};

class ShardWriter {
 public:
  ShardWriter(std::string folder, const ShardWriterOptions& options);

  // counted: one a token, or empty where all count. starts: the tokens, among these, at which
  // documents start; tokens.size() says that the next call's first token does.
  void append(std::span<const int32_t> tokens, std::span<const uint8_t> counted,
              std::span<const int64_t> starts, int64_t text_bytes);
  std::vector<ShardInfo> finish();

  int64_t tokens() const { return tokens_; }
  int64_t documents() const { return documents_; }
  int64_t text_bytes() const { return text_bytes_; }

 private:
  void start_document(uint64_t token);
  void append_to_shard(std::span<const int32_t> tokens, std::span<const uint8_t> counted);
  void write_shard();

  std::string folder_;
  ShardWriterOptions options_;
  size_t token_bytes_;
  int64_t tokens_ = 0, documents_ = 0, text_bytes_ = 0;
  std::vector<ShardInfo> shards_;

  // The shard being filled.
  int64_t shard_count_ = 0;
  std::vector<std::byte> shard_tokens_;
  std::vector<std::byte> mask_;
  bool has_mask_ = false;
  std::vector<uint64_t> starts_;
  bool start_pending_ = false;
  int64_t shard_text_bytes_ = 0;
};

}  // namespace ashlar::data
