// Ranks that have some of the tokens of one microbatch each, and the order of those tokens in it:
// what a rule over all of them, such as a capacity of experts, needs to know.
#pragma once

#include "ashlar/graph/context_rows.h"
#include "ashlar/graph/op.h"
#include "ashlar/kernels/moe_assign.h"

#include <optional>
#include <string>
#include <vector>

namespace ashlar::graph {

class TokenRanks {
 public:
  // Of the rows of an input; none where this rank has them all.
  static std::optional<TokenRanks> of(const LocalSite& site, int input);

  // This rank's tokens, by their places in the sequences it shares with its context ranks.
  std::vector<kernels::TokenRun> runs(int64_t tokens) const;
  // Tokens of all ranks together where this one has `tokens`.
  int64_t all(int64_t tokens) const;
  // counts [runs,k,E], how many pairs of each of its runs a rank has by choice and expert -> what
  // stands before each run: all earlier choices, and this choice in the runs of all ranks that come
  // earlier in the microbatch.
  std::vector<int32_t> stand_before(const std::vector<int32_t>& counts, int64_t tokens,
                                    int64_t top_k, int64_t experts, comm::Communicator* comm) const;

 private:
  struct Place {
    int sequences = 0, context = 0;  // index among those with other sequences; among context ranks
  };
  const Place& own() const { return places_[static_cast<size_t>(group_.index)]; }
  int64_t whole_tokens(int64_t tokens) const;
  std::vector<kernels::TokenRun> runs_of(int context, int64_t whole) const;
  std::vector<int32_t> gather(const std::vector<int32_t>& counts, int64_t whole, int64_t each,
                              comm::Communicator* comm) const;

  comm::Group group_;
  std::string label_;
  std::vector<Place> places_;  // of the group's ranks
  int context_ranks_ = 1;
  ContextCut cut_;
};

}  // namespace ashlar::graph
