// Which rows of a microbatch each rank of the context axis holds: see ContextCut in sharding.h.
#pragma once

#include "ashlar/graph/sharding.h"

#include <cstdint>
#include <vector>

namespace ashlar::graph {

// A piece of one row of `seq` tokens: rows that follow each other in the microbatch and on the
// rank.
struct RowRun {
  int64_t first = 0;  // in the microbatch
  int64_t local = 0;  // on the rank
  int64_t count = 0;
  bool operator==(const RowRun&) const = default;
};

// In the order of the rank's rows. `rows` are those of the microbatch: whole rows of `seq` tokens.
std::vector<RowRun> context_runs(const ContextCut& cut, int ranks, int rank, int64_t rows);
// How many rows of the microbatch the rank holds.
int64_t context_rows(const ContextCut& cut, int ranks, int rank, int64_t rows);
// The most that any rank holds when this one holds `local`.
int64_t most_context_rows(const ContextCut& cut, int ranks, int rank, int64_t local);

}  // namespace ashlar::graph
