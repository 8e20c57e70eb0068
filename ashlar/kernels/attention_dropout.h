// Dropout of attention's probabilities, a row of a tile and a block of keys at a time. The mask of
// a block is one group of words, drawn again wherever it is needed: AttentionDropout in args.h.
#pragma once

#include "ashlar/kernels/attention_plan.h"
#include "ashlar/kernels/dropout_words.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

static_assert(kKeyBlock == kDropoutGroup);

struct TileDropout {
  AttentionDropout rule;  // rate 0: nothing is dropped, the case of all attention over a cache
  QueryRows at;
  uint32_t threshold = 0;
  float keep_rate = 1;

  bool drops() const { return rule.rate > 0; }
};
ASHLAR_INLINE TileDropout tile_dropout(const AttentionDropout& rule, const QueryRows& at) {
  return {rule, at, drop_threshold(rule.rate), 1 - rule.rate};
}

// Which of the keys [block, block + kKeyBlock) a row of the tile drops, a mask for each slab.
ASHLAR_INLINE void dropped_keys(const TileDropout& dropout, int64_t row, int64_t block,
                                Mask (&masks)[kSlabs]) {
  const QueryRows& at = dropout.at;
  const AttentionDropout& rule = dropout.rule;
  const auto token = rule.first_token + static_cast<uint64_t>(at.first_row + row / at.heads);
  const auto head = static_cast<uint64_t>(rule.first_head + at.first_head + row % at.heads);
  Ints words[kSlabs];
  philox_group(rule.key, static_cast<uint64_t>(block / 4), head, token, rule.step, words);
#pragma GCC unroll 4
  for (int slab = 0; slab < kSlabs; ++slab) masks[slab] = dropped(dropout.threshold, words[slab]);
}

// Clears the dropped of the probabilities p [rows][kKeyBlock] of the tile's rows [r0, r0 + rows).
static inline void drop_probabilities(const TileDropout& dropout, int64_t r0, int64_t rows,
                                      int64_t block, int64_t slab_begin, int64_t slab_end,
                                      float* p) {
  for (int64_t r = 0; r < rows; ++r) {
    Mask masks[kSlabs];
    dropped_keys(dropout, r0 + r, block, masks);
    for (int64_t slab = slab_begin; slab < slab_end; ++slab) {
      float* at = p + r * kKeyBlock + slab * kSlab;
      store(at, select(masks[slab], zero(), load(at)));
    }
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
