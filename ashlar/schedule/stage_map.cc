#include "ashlar/schedule/stage_map.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <utility>

namespace ashlar::schedule {
namespace {

constexpr size_t kMostStages = 1 << 13;  // of all replicas: values are numbered in an int

}  // namespace

StageMap::StageMap(std::vector<std::vector<int>> rank_of) : rank_of_(std::move(rank_of)) {
  ASHLAR_CHECK(!rank_of_.empty() && !rank_of_[0].empty(), "stages: no stage is placed");
  int ranks = 0;
  for (const auto& replica : rank_of_) {
    ASHLAR_CHECK(replica.size() == rank_of_[0].size(),
                 "stages: one replica has {} stages, another {}", rank_of_[0].size(),
                 replica.size());
    for (const int rank : replica) {
      ASHLAR_CHECK(rank >= 0, "stages: {} is no rank", rank);
      ranks = std::max(ranks, rank + 1);
    }
  }
  ASHLAR_CHECK(static_cast<size_t>(ranks) <= rank_of_.size() * rank_of_[0].size(),
               "stages: rank {} has a stage, but there are only {} stages in all", ranks - 1,
               rank_of_.size() * rank_of_[0].size());
  ASHLAR_CHECK(rank_of_.size() * rank_of_[0].size() <= kMostStages,
               "stages: {} in all, at most {} fit", rank_of_.size() * rank_of_[0].size(),
               kMostStages);
  chunks_.resize(index(ranks));
  for (int replica = 0; replica < replicas(); ++replica) {
    chunk_of_.emplace_back();
    for (int stage = 0; stage < stages(); ++stage) {
      auto& chunks = chunks_[index(rank(replica, stage))];
      chunk_of_.back().push_back(static_cast<int>(chunks.size()));
      chunks.push_back({replica, stage});
    }
  }
  for (int rank = 0; rank < ranks; ++rank) {
    ASHLAR_CHECK(!chunks(rank).empty(), "stages: rank {} has none, ranks up to {} have some", rank,
                 ranks - 1);
  }
}

StageMap StageMap::linear(int ranks) { return looped(ranks, 1); }

StageMap StageMap::looped(int ranks, int chunks) {
  std::vector<int> rank_of;
  for (int stage = 0; stage < ranks * chunks; ++stage) rank_of.push_back(stage % ranks);
  return StageMap({rank_of});
}

StageMap StageMap::waves(int ranks, int waves) {
  std::vector<int> rank_of;
  for (int stage = 0; stage < 2 * ranks * waves; ++stage) {
    const int step = stage % (2 * ranks);
    rank_of.push_back(std::min(step, 2 * ranks - 1 - step));
  }
  return StageMap({rank_of});
}

StageMap StageMap::both_ways(int ranks) {
  std::vector<std::vector<int>> rank_of(2);
  for (int stage = 0; stage < ranks; ++stage) {
    rank_of[0].push_back(stage);
    rank_of[1].push_back(ranks - 1 - stage);
  }
  return StageMap(std::move(rank_of));
}

}  // namespace ashlar::schedule
