// Whether a schedule is valid, found by running it on plain sets of facts. It shares no code and no
// data structure with check(): the judge of its verdicts.
#pragma once

#include "ashlar/schedule/schedule.h"

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace ashlar::schedule::testing {

// Buffered sends; compute instructions and messages only.
inline bool runs_correctly(const Schedule& schedule) {
  using Fact = std::tuple<char, int, int, int>;  // what, replica, stage, microbatch
  std::set<Fact> done, sent, taken;
  std::map<int, std::set<int>> replicas_of;  // microbatch -> replicas
  const StageMap& map = schedule.stages;
  const bool with_messages = schedule.has_messages();
  const int last = map.stages() - 1;

  // 'y': ran, 'n': must wait, 'x': wrong whenever it runs.
  const auto attempt = [&](int rank, const Instruction& i) -> char {
    if (i.chunk < 0 || i.chunk >= static_cast<int>(map.chunks(rank).size())) return 'x';
    if (i.microbatch < 0 || i.microbatch >= schedule.microbatches) return 'x';
    const auto [q, s] = map.at(rank, i.chunk);
    const int k = i.microbatch;
    replicas_of[k].insert(q);
    const auto far = [&](int stage) { return map.rank(q, stage) != rank; };
    const auto has = [&](std::set<Fact>& facts, char what, int stage) {
      return facts.contains({what, q, stage, k});
    };
    const auto mark = [&](std::set<Fact>& facts, char what, int stage) {
      return facts.insert({what, q, stage, k}).second ? 'y' : 'x';
    };
    // Is what stage `from` makes at hand? Far values must have been received before.
    const auto at_hand = [&](char what, int from) -> char {
      if (with_messages && far(from)) return has(taken, what, from) ? 'y' : 'x';
      return has(done, what, from) ? 'y' : 'n';
    };
    switch (i.kind) {
      case Kind::kForward: {
        if (s > 0) {
          if (const char there = at_hand('F', s - 1); there != 'y') return there;
        }
        return mark(done, 'F', s);
      }
      case Kind::kInputGrad:
      case Kind::kBackward: {
        if (!has(done, 'F', s)) return 'x';
        if (s < last) {
          if (const char there = at_hand('B', s + 1); there != 'y') return there;
        }
        if (i.kind == Kind::kBackward && mark(done, 'W', s) == 'x') return 'x';
        return mark(done, 'B', s);
      }
      case Kind::kWeightGrad:
        return has(done, 'B', s) ? mark(done, 'W', s) : 'x';
      case Kind::kSendActivation:
        if (s == last || i.peer != s + 1 || !far(s + 1) || !has(done, 'F', s)) return 'x';
        return mark(sent, 'F', s);
      case Kind::kSendGradient:
        if (s == 0 || i.peer != s - 1 || !far(s - 1) || !has(done, 'B', s)) return 'x';
        return mark(sent, 'B', s);
      case Kind::kRecvActivation:
        if (s == 0 || i.peer != s - 1 || !far(s - 1)) return 'x';
        return !has(sent, 'F', s - 1) ? 'n' : mark(taken, 'F', s - 1);
      case Kind::kRecvGradient:
        if (s == last || i.peer != s + 1 || !far(s + 1)) return 'x';
        return !has(sent, 'B', s + 1) ? 'n' : mark(taken, 'B', s + 1);
      default:
        return 'x';
    }
  };

  std::vector<size_t> at(schedule.ranks.size());
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t rank = 0; rank < at.size(); ++rank) {
      if (at[rank] == schedule.ranks[rank].size()) continue;
      const char result = attempt(static_cast<int>(rank), schedule.ranks[rank][at[rank]]);
      if (result == 'x') return false;
      if (result == 'n') continue;
      ++at[rank];
      moved = true;
    }
  }
  for (size_t rank = 0; rank < at.size(); ++rank) {
    if (at[rank] != schedule.ranks[rank].size()) return false;
  }
  if (sent != taken) return false;
  for (int k = 0; k < schedule.microbatches; ++k) {
    if (replicas_of[k].size() != 1) return false;
    for (int s = 0; s <= last; ++s) {
      for (const char what : {'F', 'B', 'W'}) {
        if (!done.contains({what, *replicas_of[k].begin(), s, k})) return false;
      }
    }
  }
  return true;
}

}  // namespace ashlar::schedule::testing
