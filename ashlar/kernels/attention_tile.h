// Forward attention of one tile of query rows (FlashAttention-2, Dao 2023, algorithm 1): key blocks
// in ascending order with a running maximum, restarted every kKeySpan keys; the spans of a row are
// merged in ascending order. Training, prefill and decode all run this code, so a row has the same
// bits in each. Keys that a row does not see are never multiplied with it.
#pragma once

#include "ashlar/kernels/attention_dropout.h"
#include "ashlar/kernels/attention_plan.h"
#include "ashlar/kernels/attention_rows.h"
#include "ashlar/kernels/vec_math.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

inline constexpr int64_t kQueryRows = 96;
inline constexpr int64_t kRowPadding = kLanes;  // so that whole vectors of row state can be loaded

// Hands out 64-byte aligned arrays of one thread's scratch; with a null base it only counts.
struct Scratch {
  std::byte* base;
  int64_t used = 0;

  template <typename T>
  T* take(int64_t count) {
    T* at = base == nullptr ? nullptr : reinterpret_cast<T*>(base + used);
    used += round_up(count * static_cast<int64_t>(sizeof(T)), 64);
    return at;
  }
};

// The keys and values of one block, f32 or as the cache has them.
template <typename T>
struct KeyTile {
  const T* k[kSlabs];  // [D][16]
  const T* v[kSlabs];  // 16 rows, v_stride apart, readable up to a multiple of kLanes
  int64_t v_stride;
  const T* next_k[kSlabs];  // kStream: the keys of the block that follows
};

// Memory for keys that must be converted or transposed first.
struct KeyBuffer {
  float* k;     // [kSlabs][D][16]
  float* v;     // [kKeyBlock][width], of values
  float* rows;  // [16][width], of either
};
ASHLAR_INLINE KeyBuffer take_key_buffer(Scratch& scratch, int64_t head_dim, int64_t value_dim) {
  const int64_t width = round_up(head_dim, kLanes), value_width = round_up(value_dim, kLanes);
  return {scratch.take<float>(kKeyBlock * head_dim), scratch.take<float>(kKeyBlock * value_width),
          scratch.take<float>(kSlab * larger(width, value_width))};
}

struct SpanState {  // of the rows of a tile: softmax over some keys, not yet divided by the sum
  float* out;       // [rows][width]
  float* max;       // [rows]
  float* sum;       // [rows]; 0 where a row has seen no key
};
ASHLAR_INLINE SpanState take_span_state(Scratch& scratch, int64_t rows, int64_t width) {
  return {scratch.take<float>(rows * width), scratch.take<float>(rows + kRowPadding),
          scratch.take<float>(rows + kRowPadding)};
}

// What ALiBi adds to the scores of each row of a tile.
struct RowBias {
  float* slope;       // [rows]
  int32_t* position;  // [rows] of the query
  bool any;
  float bf16_bias;  // as AttentionMask has it

  void set(const AttentionMask& mask, int64_t row, int64_t head, int64_t at) const {
    if (!any) return;
    slope[row] = mask.slopes[head];
    position[row] = static_cast<int32_t>(at);
  }
  // x of the 16 keys from `key` on.
  Vec add(Vec x, int64_t row, int64_t key) const {
    alignas(64) static constexpr float kLane[kLanes] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                        8, 9, 10, 11, 12, 13, 14, 15};
    const Vec by = broadcast(slope[row]);
    if (bf16_bias > 0) {
      const Vec of_keys = in_bf16(by * (broadcast(static_cast<float>(key)) + load(kLane)));
      const Vec of_query = in_bf16(by * broadcast(static_cast<float>(position[row])));
      return fma(broadcast(bf16_bias), of_keys - of_query, x);
    }
    const auto distance = static_cast<float>(key - position[row]);
    return fma(by, broadcast(distance) + load(kLane), x);
  }

 private:
  static Vec in_bf16(Vec x) {
    bf16 rounded[kLanes];
    store(rounded, x);
    return load(rounded);
  }
};
ASHLAR_INLINE RowBias take_row_bias(Scratch& scratch, const AttentionMask& mask, int64_t rows) {
  return {scratch.take<float>(rows), scratch.take<int32_t>(rows), mask.slopes != nullptr,
          mask.bf16_bias};
}

struct QueryTile {
  AttentionMask mask;
  TileDropout dropout;
  int64_t rows, head_dim, width;   // width: head_dim rounded up to kLanes
  int64_t value_dim, value_width;  // the same of values
  float* q;                        // [rows][width]
  float* scores;                   // [rows][kKeyBlock], then probabilities
  float* rescale;                  // [rows] what the new maximum makes of sums so far
  float* ones;                     // [rows]
  int32_t* begin;                  // [rows] the keys each row sees; ascending
  int32_t* end;
  RowBias bias;
  SpanState span, merged;
};
ASHLAR_INLINE QueryTile take_query_tile(Scratch& scratch, const AttentionMask& mask,
                                        int64_t head_dim, int64_t value_dim) {
  QueryTile tile;
  tile.mask = mask;
  tile.dropout = {};
  tile.rows = 0;
  tile.head_dim = head_dim;
  tile.width = round_up(head_dim, kLanes);
  tile.value_dim = value_dim;
  tile.value_width = round_up(value_dim, kLanes);
  tile.q = scratch.take<float>(kQueryRows * tile.width);
  tile.scores = scratch.take<float>(kQueryRows * kKeyBlock);
  tile.rescale = scratch.take<float>(kQueryRows + kRowPadding);
  tile.ones = scratch.take<float>(kTileRows);
  tile.begin = scratch.take<int32_t>(kQueryRows);
  tile.end = scratch.take<int32_t>(kQueryRows);
  tile.bias = take_row_bias(scratch, mask, kQueryRows);
  tile.span = take_span_state(scratch, kQueryRows, tile.value_width);
  tile.merged = take_span_state(scratch, kQueryRows, tile.value_width);
  return tile;
}

ASHLAR_INLINE void load_queries(QueryTile& tile, const QueryRows& at, const void* q, DType dtype,
                                int64_t q_stride, int64_t first_position, KeyRange present) {
  tile.rows = at.positions * at.heads;
  int64_t r = 0;
  for (int64_t i = 0; i < at.positions; ++i) {
    const KeyRange visible = visible_keys(tile.mask, first_position + i, present);
    for (int64_t h = 0; h < at.heads; ++h, ++r) {
      load_row(q, dtype, (at.first_row + i) * q_stride + (at.first_head + h) * tile.head_dim,
               tile.head_dim, tile.q + r * tile.width);
      tile.begin[r] = static_cast<int32_t>(visible.begin);
      tile.end[r] = static_cast<int32_t>(visible.end);
      tile.bias.set(tile.mask, r, at.first_head + h, first_position + i);
    }
  }
  for (int i = 0; i < kTileRows; ++i) tile.ones[i] = 1;
}

ASHLAR_INLINE void start_span(const QueryTile& tile, const SpanState& state) {
  clear(state.out, tile.rows * tile.value_width);
  for (int64_t r = 0; r < tile.rows; ++r) {
    state.max[r] = -kInfinity;
    state.sum[r] = 0;
  }
}

// Scores of the slabs [slab_begin, slab_end) of the block at key `block`, for rows [r0, r0 + rows),
// become probabilities relative to the running maximum.
template <bool kMasked>
static inline void softmax_rows(const QueryTile& tile, int64_t r0, int64_t rows, int64_t block,
                                int64_t slab_begin, int64_t slab_end) {
  const Vec minus_infinity = broadcast(-kInfinity);
  const bool capped = tile.mask.softcap > 0;
  const Vec cap = broadcast(tile.mask.softcap);
  const Vec scale = broadcast(capped ? tile.mask.scale / tile.mask.softcap : tile.mask.scale);
  float block_max[kLanes], block_sum[kLanes];
  const auto seen = [&](int64_t r, int64_t slab) {
    const Ints key = iota() + ints(static_cast<int32_t>(block + slab * kSlab));
    return greater(ints(tile.end[r]), key) & greater(key, ints(tile.begin[r] - 1));
  };

  for (int64_t r = 0; r < rows; ++r) {
    float* scores = tile.scores + (r0 + r) * kKeyBlock;
    Vec largest = minus_infinity;
    for (int64_t slab = slab_begin; slab < slab_end; ++slab) {
      Vec x = load(scores + slab * kSlab) * scale;
      if (capped) x = cap * tanh(x);
      if (tile.bias.any) x = tile.bias.add(x, r0 + r, block + slab * kSlab);
      if constexpr (kMasked) x = select(seen(r0 + r, slab), x, minus_infinity);
      store(scores + slab * kSlab, x);
      largest = max(largest, x);
    }
    block_max[r] = reduce_max(largest);
  }

  float* row_max = tile.span.max + r0;
  float* row_sum = tile.span.sum + r0;
  const Vec old_max = load(row_max, rows);
  const Vec new_max = max(old_max, load(block_max, rows));
  const Vec rescale = select(equal(old_max, new_max), broadcast(1), exp(old_max - new_max));
  store(row_max, new_max, rows);
  store(tile.rescale + r0, rescale, rows);

  for (int64_t r = 0; r < rows; ++r) {
    float* scores = tile.scores + (r0 + r) * kKeyBlock;
    const Vec largest = broadcast(row_max[r]);
    Vec sum = zero();
    for (int64_t slab = slab_begin; slab < slab_end; ++slab) {
      Vec p = exp(load(scores + slab * kSlab) - largest);
      if constexpr (kMasked) p = select(seen(r0 + r, slab), p, zero());
      store(scores + slab * kSlab, p);
      sum = sum + p;
    }
    block_sum[r] = reduce_add(sum);
  }
  store(row_sum, fma(load(row_sum, rows), rescale, load(block_sum, rows)), rows);
}

// out = out * rescale + p v for rows [r0, r0 + rows), each over exactly the keys that it sees:
// those that all rows see in register tiles, what is left at either end row by row.
template <bool kStream, typename T>
static inline void weigh_rows(const QueryTile& tile, const KeyTile<T>& keys, int64_t r0,
                              int64_t rows, int64_t block) {
  const auto clip = [&](int32_t key) { return larger(0, smaller(key - block, kKeyBlock)); };
  const auto weigh = [&](int64_t r, int64_t count, int64_t begin, int64_t end, const float* scale) {
    const WeighArgs<T> args{tile.scores + r * kKeyBlock,
                            scale,
                            keys.v,
                            keys.next_k,
                            keys.v_stride,
                            begin,
                            end,
                            tile.span.out + r * tile.value_width,
                            tile.value_width,
                            0};
    for_columns<Weigh<T, kStream>>(count, tile.value_width, args);
  };
  const int64_t last = r0 + rows - 1;
  const int64_t begin = clip(tile.begin[last]);
  const int64_t end = clip(tile.end[r0]);
  const bool same_begin = clip(tile.begin[r0]) == begin;
  if (same_begin || begin < end) {
    if (!same_begin) {
      for (int64_t r = r0; r <= last; ++r) {
        weigh(r, 1, clip(tile.begin[r]), begin, tile.rescale + r);
      }
    }
    const int64_t common_end = larger(begin, end);
    weigh(r0, rows, begin, common_end, same_begin ? tile.rescale + r0 : tile.ones);
    for (int64_t r = r0; r <= last; ++r) {
      if (clip(tile.end[r]) > common_end) {
        weigh(r, 1, common_end, clip(tile.end[r]), tile.ones);
      }
    }
  } else {
    for (int64_t r = r0; r <= last; ++r) {
      weigh(r, 1, clip(tile.begin[r]), clip(tile.end[r]), tile.rescale + r);
    }
  }
}

// The keys of one block: all rows of the tile, in groups of a register tile.
template <bool kStream, typename T>
ASHLAR_INLINE void attend_block(const QueryTile& tile, const KeyTile<T>& keys, int64_t block) {
  const int64_t step = ceil_div(tile.rows, ceil_div(tile.rows, kTileRows));
  const auto for_groups = [&](auto f) {
    for (int64_t r0 = 0; r0 < tile.rows; r0 += step) {
      const int64_t rows = smaller(step, tile.rows - r0);
      const int64_t begin = larger(tile.begin[r0], block);
      const int64_t end = smaller(tile.end[r0 + rows - 1], block + kKeyBlock);
      if (begin < end) f(r0, rows, begin, end);
    }
  };
  for_groups([&](int64_t r0, int64_t rows, int64_t begin, int64_t end) {
    const int64_t slab_begin = (begin - block) / kSlab;
    const int64_t slab_end = ceil_div(end - block, kSlab);
    score_rows<kStream>(rows,
                        ScoreArgs<T>{tile.q + r0 * tile.width, tile.width, tile.head_dim, keys.k,
                                     keys.v, tile.scores + r0 * kKeyBlock},
                        slab_begin, slab_end);
    const bool all_seen = tile.begin[r0 + rows - 1] <= block + slab_begin * kSlab &&
                          tile.end[r0] >= block + slab_end * kSlab;
    if (all_seen) {
      softmax_rows<false>(tile, r0, rows, block, slab_begin, slab_end);
    } else {
      softmax_rows<true>(tile, r0, rows, block, slab_begin, slab_end);
    }
    if (tile.dropout.drops()) {
      drop_probabilities(tile.dropout, r0, rows, block, slab_begin, slab_end,
                         tile.scores + r0 * kKeyBlock);
    }
  });
  for_groups([&](int64_t r0, int64_t rows, int64_t, int64_t) {
    weigh_rows<kStream>(tile, keys, r0, rows, block);
  });
}

// The keys [begin, end) of one span, into tile.span. source.load(block, slab_begin, slab_end)
// returns a KeyTile of which only those slabs are read; kStream says that it lies in memory.
template <typename Source>
ASHLAR_INLINE void attend_span(const QueryTile& tile, const Source& source, KeyRange keys) {
  start_span(tile, tile.span);
  for (int64_t block = keys.begin / kKeyBlock * kKeyBlock; block < keys.end; block += kKeyBlock) {
    const int64_t slab_begin = larger(0, keys.begin - block) / kSlab;
    const int64_t slab_end = ceil_div(smaller(keys.end - block, kKeyBlock), kSlab);
    attend_block<Source::kStream>(tile, source.load(block, slab_begin, slab_end), block);
  }
}

// merged += span, row by row; a row that saw no key of the span keeps its bits.
static inline void merge_span(const QueryTile& tile, const SpanState& span) {
  const SpanState& merged = tile.merged;
  for (int64_t r0 = 0; r0 < tile.rows; r0 += kLanes) {
    const int64_t rows = smaller(kLanes, tile.rows - r0);
    const Vec old_max = load(merged.max + r0, rows);
    const Vec span_max = load(span.max + r0, rows);
    const Vec new_max = max(old_max, span_max);
    float old_scale[kLanes], span_scale[kLanes];
    store(old_scale, exp(old_max - new_max));
    store(span_scale, exp(span_max - new_max));
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t r = r0 + i;
      if (span.sum[r] == 0) continue;
      const bool first = merged.sum[r] == 0;
      const Vec a = broadcast(old_scale[i]), b = broadcast(span_scale[i]);
      float* to = merged.out + r * tile.value_width;
      const float* from = span.out + r * tile.value_width;
      for (int64_t d = 0; d < tile.value_width; d += kLanes) {
        const Vec x = load(from + d);
        store(to + d, first ? x : fma(load(to + d), a, x * b));
      }
      const float both = merged.sum[r] * old_scale[i] + span.sum[r] * span_scale[i];
      merged.sum[r] = first ? span.sum[r] : both;
      merged.max[r] = first || span.max[r] > merged.max[r] ? span.max[r] : merged.max[r];
    }
  }
}

// All keys that the tile's rows see.
ASHLAR_INLINE KeyRange keys_of_tile(const QueryTile& tile) {
  return {tile.begin[0], tile.end[tile.rows - 1]};
}
ASHLAR_INLINE KeyRange keys_of_span(KeyRange keys, int64_t span) {
  return {larger(keys.begin, span * kKeySpan), smaller(keys.end, (span + 1) * kKeySpan)};
}

// Into tile.merged, behind what is there.
template <typename Source>
ASHLAR_INLINE void attend(const QueryTile& tile, const Source& source) {
  const KeyRange keys = keys_of_tile(tile);
  if (keys.begin >= keys.end) return;
  for (int64_t span = keys.begin / kKeySpan; span * kKeySpan < keys.end; ++span) {
    attend_span(tile, source, keys_of_span(keys, span));
    merge_span(tile, tile.span);
  }
}

// tile.merged as store_outputs wrote it before, out being f32.
ASHLAR_INLINE void load_outputs(const QueryTile& tile, const QueryRows& at, const float* out,
                                const float* lse) {
  for (int64_t r = 0; r < tile.rows; ++r) {
    const int64_t row =
        (at.first_row + r / at.heads) * at.total_heads + at.first_head + r % at.heads;
    float* to = tile.merged.out + r * tile.value_width;
    load_row(out, DType::kF32, row * tile.value_dim, tile.value_dim, to);
    const Vec scale = broadcast(tile.dropout.keep_rate);
    for (int64_t d = 0; d < tile.value_width; d += kLanes) store(to + d, load(to + d) * scale);
    tile.merged.max[r] = lse[row];
    tile.merged.sum[r] = lse[row] == -kInfinity ? 0 : 1;
  }
}

// Divides by the sums (and the share that dropout keeps) and writes the rows; lse may be null.
ASHLAR_INLINE void store_outputs(const QueryTile& tile, const QueryRows& at, void* out, DType dtype,
                                 float* lse) {
  for (int64_t r = 0; r < tile.rows; ++r) {
    const int64_t row =
        (at.first_row + r / at.heads) * at.total_heads + at.first_head + r % at.heads;
    const float sum = tile.merged.sum[r];
    const float scale = sum == 0 ? 0 : 1 / (sum * tile.dropout.keep_rate);
    store_row(tile.merged.out + r * tile.value_width, tile.value_dim, scale, out, dtype,
              row * tile.value_dim);
    if (lse != nullptr) {
      float log_sum[kLanes];
      store(log_sum, log(broadcast(sum)));
      lse[row] = sum == 0 ? -kInfinity : tile.merged.max[r] + log_sum[0];
    }
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
