#include "ashlar/schedule/greedy.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>

namespace ashlar::schedule {
namespace {

constexpr int kNever = std::numeric_limits<int>::max();

class Greedy {
 public:
  Greedy(Schedule& schedule, const std::vector<std::vector<int>>& microbatches, GreedyTimes times,
         int limit)
      : schedule_(schedule),
        map_(schedule.stages),
        microbatches_(microbatches),
        times_(times),
        limit_(limit) {
    for (int rank = 0; rank < map_.ranks(); ++rank) {
      Rank& state = ranks_.emplace_back();
      for (const Chunk& chunk : map_.chunks(rank)) {
        const size_t count = own(chunk).size();
        state.chunks.push_back({.ends = {std::vector<int>(count, kNever),  //
                                         std::vector<int>(count, kNever)}});
        left_ += 2 * count;
      }
    }
  }

  void run() {
    for (int now = 0; left_ > 0; ++now) {
      for (int rank = 0; rank < map_.ranks(); ++rank) {
        if (ranks_[index(rank)].free_at <= now) start_most_urgent(rank, now);
      }
    }
  }

 private:
  enum Direction { kForwards, kBackwards };
  struct ChunkState {
    int next[2] = {0, 0};      // place in the replica's microbatches, per direction
    std::vector<int> ends[2];  // when each was or will be done
  };
  struct Rank {
    int free_at = 0, held = 0;
    std::vector<ChunkState> chunks;
  };
  struct Candidate {
    bool is_forward;
    int age, stage_from_last, chunk;
    auto operator<=>(const Candidate&) const = default;
  };

  static size_t index(int i) { return static_cast<size_t>(i); }
  const std::vector<int>& own(const Chunk& chunk) const {
    return microbatches_[index(chunk.replica)];
  }
  int end(int replica, int stage, Direction direction, int age) const {
    const Rank& rank = ranks_[index(map_.rank(replica, stage))];
    return rank.chunks[index(map_.chunk(replica, stage))].ends[direction][index(age)];
  }

  void start_most_urgent(int rank, int now) {
    std::optional<Candidate> best;
    const auto consider = [&](const Candidate& candidate) {
      if (!best || candidate < *best) best = candidate;
    };
    Rank& state = ranks_[index(rank)];
    for (int chunk = 0; chunk < static_cast<int>(state.chunks.size()); ++chunk) {
      const Chunk at = map_.at(rank, chunk);
      const int from_last = map_.stages() - 1 - at.stage;
      if (backward_ready(rank, chunk, now)) {
        consider({false, state.chunks[index(chunk)].next[kBackwards], from_last, chunk});
      }
      if (forward_ready(rank, chunk, now)) {
        consider({true, state.chunks[index(chunk)].next[kForwards], from_last, chunk});
      }
    }
    if (!best) return;
    const Direction direction = best->is_forward ? kForwards : kBackwards;
    const int microbatch = own(map_.at(rank, best->chunk))[index(best->age)];
    schedule_.ranks[index(rank)].push_back(best->is_forward ? forward(microbatch, best->chunk)
                                                            : backward(microbatch, best->chunk));
    state.free_at = now + (best->is_forward ? times_.forward : times_.backward);
    state.held += best->is_forward ? 1 : -1;
    ChunkState& chunk = state.chunks[index(best->chunk)];
    chunk.ends[direction][index(best->age)] = state.free_at;
    ++chunk.next[direction];
    --left_;
  }

  bool forward_ready(int rank, int chunk, int now) const {
    const Rank& state = ranks_[index(rank)];
    const Chunk at = map_.at(rank, chunk);
    const int age = state.chunks[index(chunk)].next[kForwards];
    if (index(age) == own(at).size()) return false;
    if (state.held >= limit_ && age != oldest(rank, at.replica)) return false;
    return at.stage == 0 || end(at.replica, at.stage - 1, kForwards, age) <= now;
  }

  bool backward_ready(int rank, int chunk, int now) const {
    const Chunk at = map_.at(rank, chunk);
    const ChunkState& state = ranks_[index(rank)].chunks[index(chunk)];
    const int age = state.next[kBackwards];
    if (index(age) == own(at).size() || state.ends[kForwards][index(age)] > now) return false;
    return at.stage == map_.stages() - 1 || end(at.replica, at.stage + 1, kBackwards, age) <= now;
  }

  int oldest(int rank, int replica) const {
    int oldest = kNever;
    for (int chunk = 0; chunk < static_cast<int>(map_.chunks(rank).size()); ++chunk) {
      if (map_.at(rank, chunk).replica != replica) continue;
      oldest = std::min(oldest, ranks_[index(rank)].chunks[index(chunk)].next[kBackwards]);
    }
    return oldest;
  }

  Schedule& schedule_;
  const StageMap& map_;
  const std::vector<std::vector<int>>& microbatches_;
  GreedyTimes times_;
  int limit_;
  std::vector<Rank> ranks_;
  size_t left_ = 0;
};

}  // namespace

void fill_greedily(Schedule& schedule, const std::vector<std::vector<int>>& microbatches,
                   GreedyTimes times, int limit) {
  Greedy(schedule, microbatches, times, limit).run();
}

}  // namespace ashlar::schedule
