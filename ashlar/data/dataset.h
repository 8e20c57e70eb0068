// The door to training data: opens what a DataConfig names, encodes it if it is not encoded yet,
// packs it into rows, and says in which order they come. Immutable once open.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/data/batch_maker.h"
#include "ashlar/data/data_config.h"
#include "ashlar/data/encoder.h"
#include "ashlar/data/packed_rows.h"
#include "ashlar/data/row_order.h"
#include "ashlar/data/token_set.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace ashlar::data {

class Dataset {
 public:
  // The sources of data.train, or those of data.valid (or the share of train that is held out).
  // masking: what is learned are hidden tokens, not next ones.
  static Dataset open_train(const DataConfig& config, int64_t seq, const Encoder& encoder,
                            ThreadPool& pool, const std::optional<Masking>& masking = {});
  static Dataset open_valid(const DataConfig& config, int64_t seq, const Encoder& encoder,
                            ThreadPool& pool, const std::optional<Masking>& masking = {});
  static bool has_valid(const DataConfig& config);

  // Of tokens that are at hand; weights: one each, or none.
  Dataset(std::vector<TokenSet> sources, std::vector<double> weights, Packing packing,
          std::optional<bool> isolate, int64_t seq, std::optional<Masking> masking = std::nullopt);

  int64_t seq() const { return seq_; }
  int64_t rows() const;        // of all sources
  int64_t tokens() const;      // of all sources
  int64_t text_bytes() const;  // behind the tokens; 0: not known
  const std::vector<std::unique_ptr<TokenSet>>& sources() const { return sources_; }
  const std::vector<std::unique_ptr<PackedRows>>& packed() const { return packed_; }

  // shape.seq is set to ours. The maker looks into this Dataset. What is hidden goes by the seed,
  // or in order is always the same.
  BatchMaker shuffled(BatchShape shape, uint64_t seed) const;
  BatchMaker in_order(BatchShape shape) const;

  // Changes with anything that changes rows or their order, but the seed.
  uint64_t fingerprint() const;

 private:
  std::vector<int64_t> row_counts() const;
  std::optional<SeededMasking> masking(uint64_t seed) const;

  int64_t seq_;
  bool isolate_ = false;
  std::vector<std::unique_ptr<TokenSet>> sources_;  // packed_ points into them
  std::vector<double> weights_;
  std::vector<std::unique_ptr<PackedRows>> packed_;
  // Which sources are packed by document.
  enum class Documents : uint8_t { kNone, kAll, kSome };
  Documents documents_ = Documents::kNone;
  std::optional<Masking> masking_;
};

}  // namespace ashlar::data
