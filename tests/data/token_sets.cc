#include "tests/data/token_sets.h"

#include "ashlar/base/file.h"
#include "ashlar/base/file_writer.h"
#include "ashlar/data/shard_writer.h"

namespace ashlar::data::testing {

TokenSet TokenSets::make(const std::vector<Document>& documents, int64_t vocab) {
  const std::string folder = dir_.path(fmt::format("{}", made_++));
  make_directories(folder);
  ShardWriter writer(folder, {.vocab_size = vocab, .shard_tokens = 100});
  const std::vector<int64_t> start = {0};
  for (const Document& document : documents) {
    writer.append(document.tokens, document.counted, start, std::ssize(document.tokens));
  }
  std::vector<TokenShard> shards;
  for (const ShardInfo& info : writer.finish()) {
    shards.push_back(TokenShard::open(join_path(folder, info.file)));
  }
  return {folder, std::move(shards), vocab, kEnd};
}

TokenSet TokenSets::counting(int64_t tokens, int64_t document_tokens, int32_t first) {
  std::vector<Document> documents;
  for (int64_t i = 0; i < tokens; ++i) {
    if (i % document_tokens == 0) documents.emplace_back();
    documents.back().tokens.push_back(first + static_cast<int32_t>(i));
  }
  return make(documents, 1 << 20);
}

TokenSet TokenSets::bare(const std::vector<uint16_t>& tokens) {
  const std::string path = dir_.path(fmt::format("{}.bin", made_++));
  FileWriter(path).write(std::as_bytes(std::span(tokens)));
  std::vector<TokenShard> shards;
  shards.push_back(TokenShard::open(path));
  return {path, std::move(shards), 1000, kEnd};
}

}  // namespace ashlar::data::testing
