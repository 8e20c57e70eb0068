// Encodes files into token shards: pieces of documents are encoded in parallel and written in their
// order, so the shards are the same bytes for any number of threads.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/data/document_reader.h"
#include "ashlar/data/encoded_piece.h"
#include "ashlar/data/encoder.h"
#include "ashlar/data/shard_writer.h"

#include <functional>
#include <vector>

namespace ashlar::data {

struct EncodeProgress {
  int64_t bytes_done = 0, bytes = 0;  // of the files
  int64_t tokens = 0;
};

struct EncodeOptions {
  DocumentChoice choice;
  BadUtf8 bad_utf8 = BadUtf8::kRefuse;
  std::function<void(const EncodeProgress&)> progress;  // now and then; may be empty
};

// Throws the error of the first document, in their order, that cannot be encoded.
void encode_corpus(const std::vector<SourceFile>& files, const Encoder& encoder,
                   const EncodeOptions& options, ThreadPool& pool, ShardWriter& out);

}  // namespace ashlar::data
