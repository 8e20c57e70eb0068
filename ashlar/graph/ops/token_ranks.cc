#include "ashlar/graph/ops/token_ranks.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace ashlar::graph {

std::optional<TokenRanks> TokenRanks::of(const LocalSite& site, int input) {
  std::vector<std::string> axes;
  for (const char* axis : {"data", "context", "expert"}) {
    if (site.cut(input, 0, axis).parts > 1) axes.push_back(axis);
  }
  if (axes.empty()) return std::nullopt;
  TokenRanks ranks;
  ranks.group_ = comm::group_along(site.mesh, site.rank, axes);
  ranks.label_ = site.label;
  ranks.context_ranks_ = site.cut(input, 0, "context").parts;
  ranks.cut_ = site.context;
  for (const int rank : ranks.group_.ranks) {
    const auto at = [&](const char* axis) { return site.mesh.coordinate(rank, axis); };
    ranks.places_.push_back({at("data") * site.mesh.size("expert") + at("expert"), at("context")});
  }
  return ranks;
}

std::vector<kernels::TokenRun> TokenRanks::runs_of(int context, int64_t whole) const {
  if (context_ranks_ == 1) return {{0, 0, whole}};
  std::vector<kernels::TokenRun> runs;
  for (const RowRun& run : context_runs(cut_, context_ranks_, context, whole)) {
    runs.push_back({run.first, run.local, run.count});
  }
  return runs;
}

// Of the sequences that a rank shares with its context ranks.
int64_t TokenRanks::whole_tokens(int64_t tokens) const {
  if (context_ranks_ == 1) return tokens;
  return tokens / context_rows(cut_, context_ranks_, own().context, cut_.seq) * cut_.seq;
}

std::vector<kernels::TokenRun> TokenRanks::runs(int64_t tokens) const {
  return runs_of(own().context, whole_tokens(tokens));
}

int64_t TokenRanks::all(int64_t tokens) const {
  return whole_tokens(tokens) * (group_.size() / context_ranks_);
}

std::vector<int32_t> TokenRanks::gather(const std::vector<int32_t>& counts, int64_t whole,
                                        int64_t each, comm::Communicator* comm) const {
  ASHLAR_CHECK(comm != nullptr, "{}: a graph for several ranks runs on one: give it a communicator",
               label_);
  std::vector<int64_t> sizes;
  for (const Place& place : places_) {
    sizes.push_back(static_cast<int64_t>(runs_of(place.context, whole).size()) * each);
  }
  std::vector<int32_t> all(
      static_cast<size_t>(std::accumulate(sizes.begin(), sizes.end(), int64_t{0})));
  comm->all_gather(group_, comm::buffer(std::span(counts)), sizes, comm::buffer(std::span(all)),
                   label_);
  return all;
}

std::vector<int32_t> TokenRanks::stand_before(const std::vector<int32_t>& counts, int64_t tokens,
                                              int64_t top_k, int64_t experts,
                                              comm::Communicator* comm) const {
  struct Run {
    int sequences;
    int64_t first;
    const int32_t* counts;
    int32_t* before;  // null: of another rank
  };
  const int64_t whole = whole_tokens(tokens), each = top_k * experts;
  const std::vector<int32_t> all = gather(counts, whole, each, comm);
  std::vector<int32_t> before(counts.size());
  std::vector<Run> order;
  const int32_t* next = all.data();
  for (const Place& place : places_) {
    int32_t* mine = &place == &own() ? before.data() : nullptr;
    for (const kernels::TokenRun& run : runs_of(place.context, whole)) {
      order.push_back({place.sequences, run.first, next, mine});
      next += each;
      if (mine != nullptr) mine += each;
    }
  }
  std::ranges::sort(order, {}, [](const Run& run) { return std::pair(run.sequences, run.first); });
  std::vector<int32_t> so_far(static_cast<size_t>(experts), 0);
  for (int64_t c = 0; c < top_k; ++c) {
    for (const Run& run : order) {
      if (run.before != nullptr) std::ranges::copy(so_far, run.before + c * experts);
      for (int64_t e = 0; e < experts; ++e) {
        so_far[static_cast<size_t>(e)] += run.counts[c * experts + e];
      }
    }
  }
  return before;
}

}  // namespace ashlar::graph
