#include "ashlar/graph/context_rows.h"

#include "ashlar/base/error.h"

#include <algorithm>

namespace ashlar::graph {
namespace {

void check_cut(const ContextCut& cut, int ranks) {
  const int pieces = cut.zigzag ? 2 * ranks : ranks;
  ASHLAR_CHECK(cut.seq >= pieces,
               "context: {} tokens cannot be cut in {} pieces for {} ranks: use fewer ranks or a "
               "longer train.seq",
               cut.seq, pieces, ranks);
}

// The rank's pieces of one row of `seq` tokens.
std::vector<Slice> pieces_of(const ContextCut& cut, int ranks, int rank) {
  check_cut(cut, ranks);
  if (!cut.zigzag) return {slice_of(cut.seq, ranks, rank)};
  return {slice_of(cut.seq, 2 * ranks, rank), slice_of(cut.seq, 2 * ranks, 2 * ranks - 1 - rank)};
}

int64_t rows_of_one(const ContextCut& cut, int ranks, int rank) {
  int64_t rows = 0;
  for (const Slice& piece : pieces_of(cut, ranks, rank)) rows += piece.length;
  return rows;
}

}  // namespace

std::vector<RowRun> context_runs(const ContextCut& cut, int ranks, int rank, int64_t rows) {
  const std::vector<Slice> pieces = pieces_of(cut, ranks, rank);
  ASHLAR_CHECK(rows % cut.seq == 0,
               "context: a microbatch of {} tokens is not whole rows of {} (train.seq)", rows,
               cut.seq);
  std::vector<RowRun> runs;
  int64_t local = 0;
  for (int64_t first = 0; first < rows; first += cut.seq) {
    for (const Slice& piece : pieces) {
      runs.push_back({first + piece.offset, local, piece.length});
      local += piece.length;
    }
  }
  return runs;
}

int64_t context_rows(const ContextCut& cut, int ranks, int rank, int64_t rows) {
  return rows / cut.seq * rows_of_one(cut, ranks, rank);
}

int64_t most_context_rows(const ContextCut& cut, int ranks, int rank, int64_t local) {
  const int64_t mine = rows_of_one(cut, ranks, rank);
  int64_t most = mine;
  for (int i = 0; i < ranks; ++i) most = std::max(most, rows_of_one(cut, ranks, i));
  return (local + mine - 1) / mine * most;
}

}  // namespace ashlar::graph
