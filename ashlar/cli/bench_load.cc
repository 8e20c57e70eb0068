#include "ashlar/cli/bench_load.h"

#include "ashlar/base/error.h"

#include <algorithm>

namespace ashlar::cli {

BenchLoad::BenchLoad(TextModel& model, int64_t batch, int64_t length)
    : runner_(model.runner()), pool_(runner_.blocks()) {
  for (int64_t i = 0; i < batch; ++i) {
    std::vector<int32_t>& tokens = tokens_.emplace_back();
    for (int64_t at = 0; at < length; ++at) {
      tokens.push_back(static_cast<int32_t>((1 + i + at * 7919) % runner_.vocab()));
    }
    ASHLAR_CHECK(tables_.emplace_back(pool_, generate::CacheIdentity{}).grow(length),
                 "bench: the cache has no room for {} sequences of {} tokens", batch, length);
  }
}

void BenchLoad::prefill(int64_t length) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    for (int64_t done = 0; done < length;) {
      const int64_t count = std::min(kChunk, length - done);
      const generate::SequencePiece piece = part(i, done, count, done + count == length ? 1 : 0);
      runner_.run({&piece, 1});
      done += count;
    }
  }
}

void BenchLoad::prefill_first(int64_t length) {
  const generate::SequencePiece piece = part(0, 0, length, 1);
  runner_.run({&piece, 1});
}

void BenchLoad::decode(int64_t position) {
  pieces_.clear();
  for (size_t i = 0; i < tokens_.size(); ++i) pieces_.push_back(part(i, position, 1, 1));
  runner_.run(pieces_);
}

generate::SequencePiece BenchLoad::part(size_t i, int64_t position, int64_t count,
                                        int64_t outputs) const {
  return {std::span(tokens_[i]).subspan(static_cast<size_t>(position), static_cast<size_t>(count)),
          position, tables_[i].blocks(), outputs};
}

}  // namespace ashlar::cli
