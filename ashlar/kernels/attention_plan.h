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

// Consecutive tiles of `positions` query positions, per sequence.
struct TileIndex {
  int64_t seqs;
  int64_t positions;
  int32_t* before;  // [S+1] tiles of the sequences before
  const int32_t* row_start;
};
ASHLAR_INLINE int64_t tile_index_bytes(int64_t seqs) { return round_up((seqs + 1) * 4, 64); }
ASHLAR_INLINE TileIndex index_tiles(int64_t seqs, const int32_t* row_start, int64_t positions,
                                    void* memory) {
  TileIndex index{seqs, positions, static_cast<int32_t*>(memory), row_start};
  index.before[0] = 0;
  for (int64_t s = 0; s < seqs; ++s) {
    const int64_t tiles = ceil_div(row_start[s + 1] - row_start[s], positions);
    index.before[s + 1] = index.before[s] + static_cast<int32_t>(tiles);
  }
  return index;
}

struct TilePlace {
  int64_t seq;
  int64_t begin, end;  // query positions, counted from the first row of the sequence
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
  const int64_t begin = (tile - index.before[low]) * index.positions;
  const int64_t rows = index.row_start[low + 1] - index.row_start[low];
  return {low, begin, smaller(rows, begin + index.positions)};
}

// Where a tile's rows lie in q and out: positions [first_row, ...) and heads [first_head, ...).
struct QueryRows {
  int64_t first_row = 0, positions = 0;
  int64_t first_head = 0, heads = 1;
  int64_t total_heads = 1;
};

struct KeyRange {
  int64_t begin, end;
};
ASHLAR_INLINE KeyRange visible_keys(const AttentionMask& mask, int64_t position, int64_t keys) {
  const bool bounded = mask.causal || mask.window > 0;
  return {mask.window > 0 ? larger(0, position - mask.window + 1) : 0,
          bounded ? smaller(keys, position + 1) : keys};
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
