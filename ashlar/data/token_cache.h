// The tokens of a source, encoded once and kept in a cache folder. An entry is a folder named after
// everything that decides its tokens: the contents of the files, the tokenizer, the options. It
// appears whole or not at all, so any number of processes may share the cache, and any entry may be
// deleted at any time when nobody trains from it. An entry that is torn or altered is made again.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/data/encode_corpus.h"
#include "ashlar/data/source.h"
#include "ashlar/data/token_set.h"

#include <string>

namespace ashlar::data {

struct CacheOptions {
  std::string folder;
  SourceOptions source;
  DocumentChoice choice;
  BadUtf8 bad_utf8 = BadUtf8::kRefuse;
  int64_t shard_tokens = ShardWriterOptions().shard_tokens;
  bool quiet = false;  // no progress bar
};

// Sources that are tokens already are opened where they lie and checked.
TokenSet open_tokens(const Source& source, const Encoder& encoder, const CacheOptions& options,
                     ThreadPool& pool);

// $XDG_CACHE_HOME/ashlar/tokens, ~/.cache/ashlar/tokens, or the current folder's .ashlar-tokens.
std::string default_cache_folder();

}  // namespace ashlar::data
