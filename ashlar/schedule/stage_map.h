// Which rank holds which stage of the model. A replica is one whole pipeline (Chimera has two); the
// stages of a rank are its chunks, numbered by replica and stage. The text form and the generators
// speak of (rank, chunk), the model of (replica, stage); this is the bridge.
#pragma once

#include <span>
#include <vector>

namespace ashlar::schedule {

struct Chunk {
  int replica = 0, stage = 0;
  bool operator==(const Chunk&) const = default;
};

class StageMap {
 public:
  StageMap() = default;
  // rank_of[replica][stage]. Throws unless all replicas have as many stages and ranks 0, 1, ... all
  // have one.
  explicit StageMap(std::vector<std::vector<int>> rank_of);

  static StageMap linear(int ranks);              // stage i on rank i
  static StageMap looped(int ranks, int chunks);  // 0 1 2 0 1 2: `chunks` rounds
  static StageMap waves(int ranks, int waves);    // 0 1 2 2 1 0: a V, `waves` times
  static StageMap both_ways(int ranks);           // 0 1 2 and 2 1 0: two replicas

  int ranks() const { return static_cast<int>(chunks_.size()); }
  int stages() const { return rank_of_.empty() ? 0 : static_cast<int>(rank_of_[0].size()); }
  int replicas() const { return static_cast<int>(rank_of_.size()); }

  int rank(int replica, int stage) const { return rank_of_[index(replica)][index(stage)]; }
  int chunk(int replica, int stage) const { return chunk_of_[index(replica)][index(stage)]; }
  std::span<const Chunk> chunks(int rank) const { return chunks_[index(rank)]; }
  Chunk at(int rank, int chunk) const { return chunks_[index(rank)][index(chunk)]; }

  bool operator==(const StageMap& other) const { return rank_of_ == other.rank_of_; }

 private:
  static size_t index(int i) { return static_cast<size_t>(i); }

  std::vector<std::vector<int>> rank_of_, chunk_of_;  // [replica][stage]
  std::vector<std::vector<Chunk>> chunks_;            // [rank][chunk]
};

}  // namespace ashlar::schedule
