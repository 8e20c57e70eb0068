// What the queries of one context rank and the keys of one (itself or another) have to do with each
// other: documents are cut where the ranks' rows are, and pairs that the mask excludes are left
// out.
#pragma once

#include "ashlar/graph/context_rows.h"
#include "ashlar/kernels/args.h"

#include <span>
#include <vector>

namespace ashlar::graph {

struct AttentionMeeting {
  // Segments for the attention kernel. Those of one call share no row of queries or keys.
  std::vector<std::vector<kernels::AttentionSegment>> calls;
  // Pairs of a query piece and a key piece that see each other: what zigzag makes even.
  int64_t block_pairs = 0;
  double pairs = 0;  // of a query and a key that it sees
};

// row_start: the documents of the whole microbatch, which is whole rows of cut.seq tokens.
AttentionMeeting meet(const ContextCut& cut, int ranks, int query_rank, int key_rank,
                      std::span<const int32_t> row_start, const kernels::AttentionMask& mask);

}  // namespace ashlar::graph
