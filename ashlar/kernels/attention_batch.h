// Keys and values of one sequence (or of a part) and one key-value head where they are rows of the
// batch.
#pragma once

#include "ashlar/kernels/attention_tile.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

struct BatchKeys {
  static constexpr bool kStream = false;

  const AttentionArgs& args;
  KeyBuffer buffer;
  int64_t key_row;   // of the first key that is present
  KeyRange present;  // positions in the sequence
  int64_t kv_head;

  // Keys of one slab that are present: `count` of them behind `skip` that are not.
  struct Slab {
    int64_t skip, count;
    int64_t row;  // of the first
  };
  Slab slab_at(int64_t key) const {
    const int64_t begin = larger(key, present.begin);
    return {begin - key, smaller(key + kSlab, present.end) - begin,
            key_row + begin - present.begin};
  }

  // Slab [D][16] of these rows of x, whose heads have size D.
  void load_transposed(const void* x, int64_t stride, int64_t D, const Slab& rows,
                       float* slab) const {
    const int64_t element = rows.row * stride + kv_head * D;
    if (args.dtype == DType::kF32) {
      transpose_slab(static_cast<const float*>(x) + element, stride, rows.skip, rows.count, D,
                     slab);
      return;
    }
    const int64_t width = round_up(D, kLanes);
    for (int64_t i = 0; i < rows.count; ++i) {
      load_row(x, args.dtype, element + i * stride, D, buffer.rows + i * width);
    }
    transpose_slab(buffer.rows, width, rows.skip, rows.count, D, slab);
  }

  // Whether rows of f32 can be read where they lie, as whole vectors.
  bool in_place(int64_t D) const { return args.dtype == DType::kF32 && D % kLanes == 0; }
  // 16 rows of x from the slab's first key on, of which those that are present may be read: where
  // they lie, or else in `memory`, [16][width].
  const float* load_rows(const void* x, int64_t stride, int64_t D, const Slab& rows,
                         float* memory) const {
    const int64_t width = round_up(D, kLanes);
    const int64_t element = rows.row * stride + kv_head * D;
    if (in_place(D)) return static_cast<const float*>(x) + element - rows.skip * stride;
    for (int64_t i = 0; i < rows.count; ++i) {
      load_row(x, args.dtype, element + i * stride, D, memory + (rows.skip + i) * width);
    }
    return memory;
  }

  KeyTile<float> load(int64_t block, int64_t slab_begin, int64_t slab_end) const {
    const int64_t D = args.head_dim, values = args.values();
    const int64_t width = round_up(values, kLanes);
    KeyTile<float> tile{};
    tile.v_stride = in_place(values) ? args.v_stride : width;
    for (int64_t slab = slab_begin; slab < slab_end; ++slab) {
      const Slab rows = slab_at(block + slab * kSlab);
      float* k = buffer.k + slab * kSlab * D;
      load_transposed(args.k, args.k_stride, D, rows, k);
      tile.k[slab] = k;
      tile.v[slab] =
          load_rows(args.v, args.v_stride, values, rows, buffer.v + slab * kSlab * width);
    }
    return tile;
  }
};
ASHLAR_INLINE BatchKeys batch_keys(const AttentionArgs& args, const KeyBuffer& buffer,
                                   const AttentionSegment& segment, int64_t kv_head) {
  return {args, buffer, segment.key_row, {segment.key_begin, segment.key_end}, kv_head};
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
