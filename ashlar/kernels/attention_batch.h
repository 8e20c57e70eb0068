// Keys and values of one sequence and one key-value head where they are rows of the batch.
#pragma once

#include "ashlar/kernels/attention_tile.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

struct BatchKeys {
  static constexpr bool kStream = false;

  const AttentionArgs& args;
  KeyBuffer buffer;
  int64_t first, keys;  // rows of the sequence
  int64_t kv_head;

  // Slab [D][16] of the rows [row, row + count) of x.
  void load_transposed(const void* x, int64_t stride, int64_t row, int64_t count,
                       float* slab) const {
    const int64_t D = args.head_dim;
    const int64_t element = row * stride + kv_head * D;
    if (args.dtype == DType::kF32) {
      transpose_slab(static_cast<const float*>(x) + element, stride, count, D, slab);
      return;
    }
    const int64_t width = round_up(D, kLanes);
    for (int64_t i = 0; i < count; ++i) {
      load_row(x, args.dtype, element + i * stride, D, buffer.rows + i * width);
    }
    transpose_slab(buffer.rows, width, count, D, slab);
  }

  KeyTile<float> load(int64_t block, int64_t slab_begin, int64_t slab_end) const {
    const int64_t D = args.head_dim;
    const int64_t width = round_up(D, kLanes);
    const bool in_place = args.dtype == DType::kF32 && width == D;
    KeyTile<float> tile{};
    tile.v_stride = in_place ? args.v_stride : width;
    for (int64_t slab = slab_begin; slab < slab_end; ++slab) {
      const int64_t key = block + slab * kSlab;
      const int64_t count = smaller(kSlab, keys - key);
      float* k = buffer.k + slab * kSlab * D;
      float* v = buffer.v + slab * kSlab * width;
      load_transposed(args.k, args.k_stride, first + key, count, k);
      tile.k[slab] = k;
      const int64_t element = (first + key) * args.v_stride + kv_head * D;
      if (in_place) {
        tile.v[slab] = static_cast<const float*>(args.v) + element;
        continue;
      }
      for (int64_t i = 0; i < count; ++i) {
        load_row(args.v, args.dtype, element + i * args.v_stride, D, v + i * width);
      }
      tile.v[slab] = v;
    }
    return tile;
  }
};

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
