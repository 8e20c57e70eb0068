// Quantised weights on AMX, with the bits of quant_tile.h: sums of products of bytes are exact, and
// what is left is its chain, fma(scale_b * scale_a, sum, chain), sub-block by sub-block.
#pragma once

#include "ashlar/kernels/amx/tile.h"
#include "ashlar/kernels/extent.h"
#include "ashlar/kernels/quant_formats.h"
#include "ashlar/kernels/quant_rows.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// Blocks of r that are unpacked at once; a multiple of every format's block.
inline constexpr int64_t kAmxQuantBlocks = 8;
// Sub-blocks whose sums are kept before they join their chains. They stay in the L1 cache, beside
// what they are made of.
inline constexpr int kAmxQuantKept = 4;

// Elements of a sub-block: bytes of a row of A, and four to a row of B.
template <typename F>
inline constexpr int64_t kAmxSubBlock = kQuantBlock / F::kSubBlocks;

// tile C += the sums of four signed bytes of A by four of B.
template <int kC, int kA, int kB>
ASHLAR_INLINE void amx_multiply_bytes() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
}

// Two panels over kAmxQuantBlocks blocks: codes less their offset, four of an output to a word,
// left panel and right side by side; scales of each sub-block, minima of each block.
struct AmxQuantPanels {
  alignas(64) int32_t codes[kAmxQuantBlocks * kBlockWords][kAmxSquare];
  alignas(64) float scales[kAmxQuantBlocks * 2][kAmxSquare];
  alignas(64) float minima[kAmxQuantBlocks][kAmxSquare];
};

// Blocks [begin, end) of one panel, or zeros.
template <typename F>
static void amx_unpack(const std::byte* panel, int64_t begin, int64_t end, int64_t side,
                       AmxQuantPanels& to) {
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(F::kOffset));
  const int64_t column = side * kLanes;
  for (int64_t first = begin; first < end; first += F::kPeriod) {
#pragma GCC unroll 4
    for (int phase = 0; phase < F::kPeriod; ++phase) {
      const int64_t b = first + phase, at = b - begin;
      for (int sub = 0; sub < F::kSubBlocks; ++sub) {
        store(to.scales[at * F::kSubBlocks + sub] + column,
              panel != nullptr ? F::scale(panel, b, sub) : zero());
      }
      if constexpr (F::kHasMinimum) {
        store(to.minima[at] + column, panel != nullptr ? F::minimum(panel, b) : zero());
      }
#pragma GCC unroll 8
      for (int g = 0; g < static_cast<int>(kBlockWords); ++g) {
        Ints codes = panel != nullptr ? F::codes(panel, b, phase, g) : ints(0);
        codes.v = _mm512_sub_epi8(codes.v, offset);
        store(to.codes[at * kBlockWords + g] + column, codes);
      }
    }
  }
}

// 16 rows of activations, rounded to bytes as quant_rows.h says: of each block the codes of the
// rows, sub-block by sub-block; scales and sums of 16 rows a block.
struct AmxQuantRows {
  static constexpr int64_t kBlockBytes = kAmxRows * kQuantBlock;
  int8_t* codes;
  float *scales, *sums;

  AmxQuantRows from_block(int64_t b) const {
    return {codes + b * kBlockBytes, scales + b * kAmxRows, sums + b * kAmxRows};
  }
};

// One block of row i. Rows beyond the last are zeros.
template <typename F>
ASHLAR_INLINE void amx_put_row(const QuantRow& row, int64_t i, const AmxQuantRows& to) {
  constexpr int64_t kElements = kAmxSubBlock<F>;
  for (int64_t sub = 0; sub < F::kSubBlocks; ++sub) {
    std::memcpy(to.codes + (sub * kAmxRows + i) * kElements, row.codes + sub * kElements,
                kElements);
  }
  to.scales[i] = row.scale;
  to.sums[i] = row.sum;
}

inline constexpr int64_t kAmxStrip = kAmxRows * kAmxSquare;  // sums of 16 rows by 32 columns
struct AmxQuantSums {
  alignas(64) int32_t of[kAmxQuantKept][kAmxStrip];
};

// Sums that have not joined their chains: those of `count` sub-blocks from `first` on.
struct AmxQuantPending {
  const AmxQuantSums* sums = nullptr;
  const AmxQuantPanels* b = nullptr;
  AmxQuantRows a = {};
  int64_t first = 0, count = 0;
  float* chains = nullptr;  // [16, 32]
};

// Row i of what is pending. scale: of sub-blocks and panels, if all kAmxQuantKept are pending.
template <typename F>
ASHLAR_INLINE void amx_join_row(const AmxQuantPending& p, int64_t i, int64_t count,
                                const Vec (&scale)[kAmxQuantKept][2]) {
  float* to = p.chains + i * kAmxSquare;
  Vec chain[2] = {load(to), load(to + kLanes)};
#pragma GCC unroll 8
  for (int64_t s = 0; s < count; ++s) {
    const int64_t row = (p.first + s) / F::kSubBlocks * kAmxRows + i;
    const Vec by = broadcast(p.a.scales[row]);
#pragma GCC unroll 2
    for (int side = 0; side < 2; ++side) {
      const Vec sum = to_floats(load(p.sums->of[s] + i * kAmxSquare + side * kLanes));
      chain[side] = fma(scale[s][side] * by, sum, chain[side]);
      if constexpr (F::kHasMinimum) {
        const Vec minimum = load(p.b->minima[p.first + s] + side * kLanes);
        chain[side] = fnma(minimum, broadcast(p.a.sums[row]), chain[side]);
      }
    }
  }
  store(to, chain[0]), store(to + kLanes, chain[1]);
}
template <typename F>
ASHLAR_INLINE void amx_load_scales(const AmxQuantPending& p, int64_t count,
                                   Vec (&scale)[kAmxQuantKept][2]) {
#pragma GCC unroll 8
  for (int64_t s = 0; s < count; ++s) {
    scale[s][0] = load(p.b->scales[p.first + s]);
    scale[s][1] = load(p.b->scales[p.first + s] + kLanes);
  }
}
template <typename F>
static void amx_join(const AmxQuantPending& p) {
  Vec scale[kAmxQuantKept][2];
  amx_load_scales<F>(p, p.count, scale);
  for (int64_t i = 0; i < kAmxRows; ++i) amx_join_row<F>(p, i, p.count, scale);
}

// Sums of a sub-block in tiles kTile and kTile + 1.
template <typename F, int kTile>
ASHLAR_INLINE void amx_multiply_sub_block(const AmxQuantPending& p, int64_t s) {
  constexpr int64_t kElements = kAmxSubBlock<F>;
  constexpr int kA = kTile == 0 ? 4 : 5;
  amx_load<kA>(p.a.codes + (p.first + s) * kAmxRows * kElements, kElements);
  amx_load_b(reinterpret_cast<const std::byte*>(p.b->codes[(p.first + s) * (kElements / 4)]));
  amx_zero<kTile>(), amx_multiply_bytes<kTile, kA, 6>();
  amx_zero<kTile + 1>(), amx_multiply_bytes<kTile + 1, kA, 7>();
}
template <int kTile>
ASHLAR_INLINE void amx_store_sub_block(int32_t* to) {
  amx_store<kTile>(to, kAmxSquare * 4), amx_store<kTile + 1>(to + kAmxRows, kAmxSquare * 4);
}

// Multiplies kAmxQuantKept sub-blocks into sums while those pending join their chains: AMX, stores
// and multiply-adds are all busy. A tile is stored while the next one is computed.
template <typename F, bool kJoins>
ASHLAR_INLINE void amx_multiply_and_join(const AmxQuantPending& next, AmxQuantSums& sums,
                                         const AmxQuantPending& pending) {
  Vec scale[kAmxQuantKept][2];
  if constexpr (kJoins) amx_load_scales<F>(pending, kAmxQuantKept, scale);
  // The processor does not foresee what tiles will be loaded from.
  const int8_t* ahead = next.a.codes + (next.first + kAmxQuantKept) * kAmxRows * kAmxSubBlock<F>;
  constexpr int64_t kAhead = kAmxQuantKept * kAmxSubBlock<F>;  // a sixteenth
  const auto join = [&](int64_t i) __attribute__((always_inline)) {
    for (int64_t k = 0; k < kAhead; k += 64) __builtin_prefetch(ahead + i * kAhead + k, 0, 3);
    if constexpr (kJoins) amx_join_row<F>(pending, i, kAmxQuantKept, scale);
  };
  constexpr int64_t kRows = kAmxRows / kAmxQuantKept;
#pragma GCC unroll 1
  for (int64_t s = 0; s < kAmxQuantKept; s += 2) {
    amx_multiply_sub_block<F, 0>(next, s);
    if (s > 0) amx_store_sub_block<2>(sums.of[s - 1]);
    for (int64_t i = 0; i < kRows; ++i) join(s * kRows + i);
    amx_multiply_sub_block<F, 2>(next, s + 1);
    amx_store_sub_block<0>(sums.of[s]);
    for (int64_t i = 0; i < kRows; ++i) join((s + 1) * kRows + i);
  }
  amx_store_sub_block<2>(sums.of[kAmxQuantKept - 1]);
}

// Chains of 16 rows and two panels, a few sub-blocks after the other.
template <typename F>
class AmxQuantChains {
 public:
  // chains[i * 32 + j] go on over `count` sub-blocks from `first` on.
  void add(const AmxQuantPanels& b, const AmxQuantRows& a, int64_t first, int64_t count,
           float* chains) {
    AmxQuantSums& sums = sums_[turn_ ^= 1];
    const AmxQuantPending next = {&sums, &b, a, first, count, chains};
    if (count == kAmxQuantKept && pending_.count == kAmxQuantKept) {
      amx_multiply_and_join<F, true>(next, sums, pending_);
    } else {
      join();
      if (count == kAmxQuantKept) {
        amx_multiply_and_join<F, false>(next, sums, pending_);
      } else {
        for (int64_t s = 0; s < count; ++s) {
          amx_multiply_sub_block<F, 0>(next, s);
          amx_store_sub_block<0>(sums.of[s]);
        }
      }
    }
    pending_ = next;
  }
  // Before the panels are unpacked anew, and at the end.
  void join() {
    if (pending_.count > 0) amx_join<F>(pending_);
    pending_.count = 0;
  }

 private:
  AmxQuantSums sums_[2];
  int turn_ = 0;
  AmxQuantPending pending_;
};

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
