// Backward attention of one tile of query rows against one block of keys (FlashAttention-2, Dao
// 2023, algorithm 2): probabilities are recomputed from the log-sum-exp. With s = scale q k^T,
//   p = exp(s - lse),  d_s = p (d_out v^T - delta),  delta = d_out . out,
//   d_v += p^T d_out,  d_k += scale d_s^T q,  d_q += scale d_s k.
// With dropout, m = mask / (1 - rate): d_s = p (m d_out v^T - delta) and d_v += (m p)^T d_out;
// delta stays, since it is the sum of p m d_out v^T.
#pragma once

#include "ashlar/kernels/attention_batch.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

inline constexpr int64_t kGradRows = 48;

struct GradTile {
  int64_t rows, head_dim, width;
  int64_t value_dim, value_width;
  TileDropout dropout;
  float* q;        // [rows][width]
  float* d_out;    // [rows][value_width]
  float* out;      // [value_width], of one row
  float* p;        // [rows][kKeyBlock], behind grad_of_scores those that weighed values
  float* d_s;      // [rows][kKeyBlock]
  float* lse;      // [rows]
  float* delta;    // [rows]
  float* ones;     // [kTileRows]
  int32_t* begin;  // [rows] the keys each row sees; ascending
  int32_t* end;
  RowBias bias;
};
ASHLAR_INLINE GradTile take_grad_tile(Scratch& scratch, const AttentionMask& mask, int64_t head_dim,
                                      int64_t value_dim) {
  GradTile tile;
  tile.rows = 0;
  tile.head_dim = head_dim;
  tile.width = round_up(head_dim, kLanes);
  tile.value_dim = value_dim;
  tile.value_width = round_up(value_dim, kLanes);
  tile.q = scratch.take<float>(kGradRows * tile.width);
  tile.d_out = scratch.take<float>(kGradRows * tile.value_width);
  tile.out = scratch.take<float>(tile.value_width);
  tile.p = scratch.take<float>(kGradRows * kKeyBlock);
  tile.d_s = scratch.take<float>(kGradRows * kKeyBlock);
  tile.lse = scratch.take<float>(kGradRows);
  tile.delta = scratch.take<float>(kGradRows);
  tile.ones = scratch.take<float>(kTileRows);
  tile.begin = scratch.take<int32_t>(kGradRows);
  tile.end = scratch.take<int32_t>(kGradRows);
  tile.bias = take_row_bias(scratch, mask, kGradRows);
  return tile;
}

// One key block: k and v transposed for scores, k in rows for d_q, and the sums of its gradients.
struct GradKeys {
  int64_t begin, count;          // those present, counted from the block: begin ... count - 1
  const float* k_slabs[kSlabs];  // [D][16]
  const float* v_slabs[kSlabs];
  const float* k_rows[kSlabs];  // 16 rows, k_stride apart
  int64_t k_stride;
  float* d_k;  // [kKeyBlock][width]
  float* d_v;  // [kKeyBlock][value_width]
};
struct GradBuffer {
  KeyBuffer keys;  // its v holds the rows of k
  float* v;        // [kSlabs][value_dim][16]
  float* d_k;      // [kKeyBlock][width]
  float* d_v;      // [kKeyBlock][value_width]
};
ASHLAR_INLINE GradBuffer take_grad_buffer(Scratch& scratch, int64_t head_dim, int64_t value_dim) {
  const int64_t width = round_up(head_dim, kLanes), value_width = round_up(value_dim, kLanes);
  return {take_key_buffer(scratch, head_dim, larger(head_dim, value_dim)),
          scratch.take<float>(kKeyBlock * value_dim), scratch.take<float>(kKeyBlock * width),
          scratch.take<float>(kKeyBlock * value_width)};
}

// The 16-lane sum of row reductions (args.h, norms).
ASHLAR_INLINE float dot_rows(const float* a, const float* b, int64_t width) {
  Vec sum = zero();
  for (int64_t d = 0; d < width; d += kLanes) sum = fma(load(a + d), load(b + d), sum);
  return reduce_add(sum);
}

static inline void load_grad_rows(GradTile& tile, const QueryRows& at,
                                  const AttentionGradArgs& args, const AttentionDropout& dropout,
                                  int64_t first_position, KeyRange present) {
  const AttentionArgs& forward = args.forward;
  const int64_t D = tile.head_dim, E = tile.value_dim;
  tile.rows = at.positions * at.heads;
  tile.dropout = tile_dropout(dropout, at);
  for (int i = 0; i < kTileRows; ++i) tile.ones[i] = 1;
  int64_t r = 0;
  for (int64_t i = 0; i < at.positions; ++i) {
    const KeyRange visible = visible_keys(forward.mask, first_position + i, present);
    for (int64_t h = 0; h < at.heads; ++h, ++r) {
      const int64_t head = at.first_head + h;
      const int64_t row = (at.first_row + i) * at.total_heads + head;
      float* q = tile.q + r * tile.width;
      float* d_out = tile.d_out + r * tile.value_width;
      load_row(forward.out, forward.dtype, row * E, E, tile.out);
      load_row(args.d_out, forward.dtype, row * E, E, d_out);
      tile.delta[r] = dot_rows(d_out, tile.out, tile.value_width);
      load_row(forward.q, forward.dtype, (at.first_row + i) * forward.q_stride + head * D, D, q);
      tile.lse[r] = forward.lse[row];
      tile.begin[r] = static_cast<int32_t>(visible.begin);
      tile.end[r] = static_cast<int32_t>(visible.end);
      tile.bias.set(forward.mask, r, head, first_position + i);
    }
  }
}

// Those of the keys [block, block + kKeyBlock) that are present.
static inline GradKeys load_grad_keys(const BatchKeys& source, const GradBuffer& buffer,
                                      int64_t block) {
  const AttentionArgs& args = source.args;
  const int64_t D = args.head_dim, E = args.values();
  const int64_t width = round_up(D, kLanes);
  GradKeys keys{};
  keys.begin = larger(0, source.present.begin - block);
  keys.count = smaller(kKeyBlock, source.present.end - block);
  keys.k_stride = source.in_place(D) ? args.k_stride : width;
  keys.d_k = buffer.d_k;
  keys.d_v = buffer.d_v;
  for (int64_t slab = keys.begin / kSlab; slab * kSlab < keys.count; ++slab) {
    const BatchKeys::Slab rows = source.slab_at(block + slab * kSlab);
    float* k_slab = buffer.keys.k + slab * kSlab * D;
    float* v_slab = buffer.v + slab * kSlab * E;
    source.load_transposed(args.k, args.k_stride, D, rows, k_slab);
    source.load_transposed(args.v, args.v_stride, E, rows, v_slab);
    keys.k_slabs[slab] = k_slab;
    keys.v_slabs[slab] = v_slab;
    keys.k_rows[slab] =
        source.load_rows(args.k, args.k_stride, D, rows, buffer.keys.v + slab * kSlab * width);
  }
  return keys;
}

// f(r0, rows, begin, end): groups of rows of a register tile, with the keys [begin, end) of the
// block that any of them sees. Groups that see none are left out.
template <typename F>
ASHLAR_INLINE void for_grad_groups(const GradTile& tile, int64_t block, int64_t count, F f) {
  const int64_t step = ceil_div(tile.rows, ceil_div(tile.rows, kTileRows));
  for (int64_t r0 = 0; r0 < tile.rows; r0 += step) {
    const int64_t rows = smaller(step, tile.rows - r0);
    const int64_t begin = larger(0, tile.begin[r0] - block);
    const int64_t end = smaller(tile.end[r0 + rows - 1] - block, count);
    if (begin < end) f(r0, rows, begin, end);
  }
}

// Turns q k^T in tile.p and d_out v^T in tile.d_s into p and scale d_s; keys that a row does not
// see become zeros in both.
template <bool kCapped, bool kDropped>
ASHLAR_INLINE void grad_of_scores(const AttentionMask& mask, const GradTile& tile, int64_t row,
                                  int64_t block, int64_t slab_begin, int64_t slab_end) {
  const Vec cap = broadcast(mask.softcap), one = broadcast(1), scale = broadcast(mask.scale);
  const Vec in_scale = broadcast(kCapped ? mask.scale / mask.softcap : mask.scale);
  const Vec lse = broadcast(tile.lse[row]), delta = broadcast(tile.delta[row]);
  const Ints begin = ints(tile.begin[row] - 1), end = ints(tile.end[row]);
  const Vec passed = broadcast(1 / tile.dropout.keep_rate);
  Mask drop[kSlabs];
  if constexpr (kDropped) dropped_keys(tile.dropout, row, block, drop);
  for (int64_t slab = 0; slab < kSlabs; ++slab) {
    float* p_at = tile.p + row * kKeyBlock + slab * kSlab;
    float* d_s_at = tile.d_s + row * kKeyBlock + slab * kSlab;
    if (slab < slab_begin || slab >= slab_end) {
      store(p_at, zero());
      store(d_s_at, zero());
      continue;
    }
    const Vec x = load(p_at) * in_scale;
    const Vec t = kCapped ? tanh(x) : x;
    Vec score = kCapped ? cap * t : x;
    if (tile.bias.any) score = tile.bias.add(score, row, block + slab * kSlab);
    const Vec p = exp(score - lse);
    Vec weight = p, d_p = load(d_s_at);
    if constexpr (kDropped) {
      weight = select(drop[slab], zero(), p * passed);
      d_p = select(drop[slab], zero(), d_p * passed);
    }
    Vec d_s = p * (d_p - delta) * scale;
    if (kCapped) d_s = d_s * fnma(t, t, one);
    const Ints key = iota() + ints(static_cast<int32_t>(block + slab * kSlab));
    const Mask seen = greater(end, key) & greater(key, begin);
    store(p_at, select(seen, weight, zero()));
    store(d_s_at, select(seen, d_s, zero()));
  }
}

template <bool kCapped>
static inline void grad_of_row(const AttentionMask& mask, const GradTile& tile, int64_t row,
                               int64_t block, int64_t slab_begin, int64_t slab_end) {
  if (tile.dropout.drops()) {
    grad_of_scores<kCapped, true>(mask, tile, row, block, slab_begin, slab_end);
  } else {
    grad_of_scores<kCapped, false>(mask, tile, row, block, slab_begin, slab_end);
  }
}

static inline void grad_scores(const AttentionMask& mask, const GradTile& tile,
                               const GradKeys& keys, int64_t block) {
  for_grad_groups(
      tile, block, keys.count, [&](int64_t r0, int64_t rows, int64_t begin, int64_t end) {
        const int64_t slab_begin = begin / kSlab, slab_end = ceil_div(end, kSlab);
        const int64_t at = r0 * tile.width, score_at = r0 * kKeyBlock;
        const int64_t out_at = r0 * tile.value_width;
        score_rows(rows,
                   ScoreArgs<float>{tile.q + at, tile.width, tile.head_dim, keys.k_slabs, nullptr,
                                    tile.p + score_at},
                   slab_begin, slab_end);
        score_rows(rows,
                   ScoreArgs<float>{tile.d_out + out_at, tile.value_width, tile.value_dim,
                                    keys.v_slabs, nullptr, tile.d_s + score_at},
                   slab_begin, slab_end);
        for (int64_t r = r0; r < r0 + rows; ++r) {
          if (mask.softcap > 0) {
            grad_of_row<true>(mask, tile, r, block, slab_begin, slab_end);
          } else {
            grad_of_row<false>(mask, tile, r, block, slab_begin, slab_end);
          }
        }
      });
}

// d_v += p^T d_out and d_k += d_s^T q, each key over the rows that see its group of keys.
static inline void add_key_grads(const GradTile& tile, const GradKeys& keys, int64_t block) {
  int64_t row_begin = 0, row_end = 0;
  for (int64_t k0 = 0; k0 < keys.count; k0 += kTileRows) {
    const int64_t count = smaller(kTileRows, keys.count - k0);
    while (row_begin < tile.rows && tile.end[row_begin] <= block + larger(k0, keys.begin)) {
      ++row_begin;
    }
    while (row_end < tile.rows && tile.begin[row_end] < block + k0 + count) ++row_end;
    if (row_begin >= row_end) continue;
    const int64_t at = row_begin * tile.width, score_at = row_begin * kKeyBlock + k0;
    const int64_t rows = row_end - row_begin;
    for_columns<Gather>(count, tile.value_width,
                        GatherArgs{tile.p + score_at, tile.d_out + row_begin * tile.value_width,
                                   rows, tile.value_width, keys.d_v + k0 * tile.value_width, 0});
    for_columns<Gather>(count, tile.width,
                        GatherArgs{tile.d_s + score_at, tile.q + at, rows, tile.width,
                                   keys.d_k + k0 * tile.width, 0});
  }
}

// d_q [rows][width] += d_s k.
static inline void add_query_grads(const GradTile& tile, const GradKeys& keys, int64_t block,
                                   float* d_q) {
  for_grad_groups(
      tile, block, keys.count, [&](int64_t r0, int64_t rows, int64_t begin, int64_t end) {
        for_columns<Weigh<float, false>>(
            rows, tile.width,
            WeighArgs<float>{tile.d_s + r0 * kKeyBlock, tile.ones, keys.k_rows, nullptr,
                             keys.k_stride, begin, end, d_q + r0 * tile.width, tile.width, 0});
      });
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
