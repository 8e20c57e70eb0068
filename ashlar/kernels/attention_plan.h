// How attention is cut into tasks: tiles of query rows that share a key-value head, and which keys
// each row sees. A row's result does not depend on the tile it falls in.
#pragma once

#include "ashlar/kernels/attention_matmul.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// The heads that share a key-value head lie beside each other in a tile: row = position * heads +
// head. A group of more heads than a tile has rows is cut into parts.
struct TileShape {
  int64_t heads;      // of one position
  int64_t parts;      // tiles that one group of heads takes
  int64_t positions;  // of a tile
};
ASHLAR_INLINE TileShape tile_shape(int64_t heads, int64_t kv_heads, int64_t max_rows) {
  const int64_t group = heads / kv_heads;
  const int64_t parts = ceil_div(group, max_rows);
  const int64_t in_part = ceil_div(group, parts);
  return {in_part, parts, max_rows / in_part};
}

// Consecutive tiles of `positions` rows, per sequence.
struct TileIndex {
  int64_t seqs;
  int64_t positions;
  int32_t* before;  // [S+1] tiles of the sequences before
};
ASHLAR_INLINE int64_t tile_index_bytes(int64_t seqs) { return round_up((seqs + 1) * 4, 64); }
// rows(s): how many rows sequence s has.
template <typename Rows>
ASHLAR_INLINE TileIndex index_tiles(int64_t seqs, Rows rows, int64_t positions, void* memory) {
  TileIndex index{seqs, positions, static_cast<int32_t*>(memory)};
  index.before[0] = 0;
  for (int64_t s = 0; s < seqs; ++s) {
    const int64_t tiles = ceil_div(rows(s), positions);
    index.before[s + 1] = index.before[s] + static_cast<int32_t>(tiles);
  }
  return index;
}

struct TilePlace {
  int64_t seq;
  int64_t begin;  // counted from the first row of the sequence
};
ASHLAR_INLINE TilePlace find_tile(const TileIndex& index, int64_t tile) {
  int64_t low = 0, high = index.seqs;  // before[low] <= tile < before[high]
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (index.before[middle] <= tile) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return {low, (tile - index.before[low]) * index.positions};
}

// Where a tile's rows lie in q and out: positions [first_row, ...) and heads [first_head, ...).
struct QueryRows {
  int64_t first_row = 0, positions = 0;
  int64_t first_head = 0, heads = 1;
  int64_t total_heads = 1;
};

struct KeyRange {
  int64_t begin, end;

  int64_t clip(int64_t key) const { return larger(begin, smaller(key, end)); }
};
// Of the keys that are present; empty ranges too lie within those. Neither end goes back as the
// position goes on.
ASHLAR_INLINE KeyRange visible_keys(const AttentionMask& mask, int64_t position, KeyRange present) {
  const bool bounded = mask.causal || mask.window > 0;
  const int64_t end = position + (mask.causal ? 1 : mask.window);
  return {mask.window > 0 ? present.clip(position - mask.window + 1) : present.begin,
          bounded ? present.clip(end) : present.end};
}

// Sequence s of a batch, or segment s of a shared one.
ASHLAR_INLINE AttentionSegment segment_of(const AttentionArgs& args, int64_t s) {
  if (args.segments != nullptr) return args.segments[s];
  const int64_t first = args.row_start[s], rows = args.row_start[s + 1] - first;
  return {first, rows, 0, first, 0, rows, first};
}
// The rule of dropout in which row `query_row` is token `token`.
ASHLAR_INLINE AttentionDropout segment_dropout(AttentionDropout rule,
                                               const AttentionSegment& segment) {
  rule.first_token += static_cast<uint64_t>(segment.token - segment.query_row);
  return rule;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
