// Micro-kernel of quantised weights on AMX, with the bits of quant_tile.h: the sums of a
// super-block are exact integers, and what is left is its chain, fma(scale_b * scale_a, sum,
// chain).
#pragma once

#include "ashlar/kernels/amx/quant_panels.h"

#include <cstring>

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// What the tiles of a super-block sum, 16 rows by two panels.
struct AmxQuantSums {
  alignas(64) int32_t of[2][2][kAmxRows][kLanes];  // [panel][plane]
};

// Sums that have not joined their chains yet.
struct AmxQuantPending {
  const AmxQuantSums* sums = nullptr;
  const AmxQuantRows* a = nullptr;
  float* chains = nullptr;  // [16, 32]
};

template <typename F>
ASHLAR_INLINE void amx_join_row(const AmxQuantPending& p, const AmxQuantPanels& b, int64_t i) {
  const Vec by = broadcast(p.a->scales[i]);
#pragma GCC unroll 2
  for (int side = 0; side < 2; ++side) {
    float* to = p.chains + i * kAmxSquare + side * kLanes;
    const Ints sum =
        shift_left<8>(load(p.sums->of[side][kHighBytes][i])) + load(p.sums->of[side][kLowBytes][i]);
    Vec chain = fma(load(b.scales[side]) * by, to_floats(sum), load(to));
    if constexpr (F::kHasMinimum) {
      Ints least = ints(0);
#pragma GCC unroll 4
      for (int64_t k = 0; k < kSuperBlocks / 2; ++k) {
        int32_t pair;
        std::memcpy(&pair, p.a->sums[i] + 2 * k, sizeof(pair));
        least.v = _mm512_dpwssd_epi32(least.v, load(b.minimum_pairs[k][side]).v, ints(pair).v);
      }
      chain = fnma(load(b.minima[side]) * by, to_floats(least), chain);
    }
    store(to, chain);
  }
}

// Tiles 0-3: sums of the panels and planes; 4, 5: A, step by step; 6, 7: B, the same.
template <int kA, int kC, AmxQuantPlane kPlane>
ASHLAR_INLINE void amx_multiply_plane(const int32_t (&words)[kAmxRows][kLanes]) {
  constexpr int kB = 6 + kC % 2;
  amx_load<kB>(words, kAmxBytes);
  amx_multiply_bytes<kC, kA, kB, kPlane == kHighBytes>();
}
template <int kA>
ASHLAR_INLINE void amx_multiply_step(const AmxQuantPanels& b, const AmxQuantRows& a, int64_t step) {
  amx_load<kA>(a.codes[step], kAmxBytes);
  amx_multiply_plane<kA, 0, kHighBytes>(b.words[step][0][kHighBytes]);
  amx_multiply_plane<kA, 1, kLowBytes>(b.words[step][0][kLowBytes]);
  amx_multiply_plane<kA, 2, kHighBytes>(b.words[step][1][kHighBytes]);
  amx_multiply_plane<kA, 3, kLowBytes>(b.words[step][1][kLowBytes]);
}

// The sums of 16 rows over `steps` tiles, while those pending join their chains: AMX and vectors
// are both busy. ahead: rows that come next; the processor does not foresee what tiles will load.
template <typename F, bool kJoins>
ASHLAR_INLINE void amx_multiply_and_join(const AmxQuantPanels& b, const AmxQuantRows& a,
                                         int64_t steps, AmxQuantSums& sums,
                                         const AmxQuantPending& pending, const AmxQuantRows* ahead,
                                         AmxFetch& fetch) {
  amx_zero<0>(), amx_zero<1>(), amx_zero<2>(), amx_zero<3>();
  constexpr int64_t kRows = kAmxRows / kAmxQuantSteps;
  const auto join = [&](int64_t step) __attribute__((always_inline)) {
    const auto* from = reinterpret_cast<const std::byte*>(ahead) + step * kAmxTile;
    for (int64_t line = 0; line < kAmxTile; line += 64) __builtin_prefetch(from + line, 0, 3);
    fetch.step();
    if constexpr (kJoins) {
      for (int64_t i = 0; i < kRows; ++i) amx_join_row<F>(pending, b, step * kRows + i);
    }
  };
#pragma GCC unroll 1
  for (int64_t step = 0; step < kAmxQuantSteps; step += 2) {
    if (step < steps) amx_multiply_step<4>(b, a, step);
    join(step);
    if (step + 1 < steps) amx_multiply_step<5>(b, a, step + 1);
    join(step + 1);
  }
  amx_store<0>(sums.of[0][kHighBytes], kAmxBytes), amx_store<1>(sums.of[0][kLowBytes], kAmxBytes);
  amx_store<2>(sums.of[1][kHighBytes], kAmxBytes), amx_store<3>(sums.of[1][kLowBytes], kAmxBytes);
}

// Chains of groups of 16 rows and two panels over one super-block, group by group.
template <typename F>
class AmxQuantChains {
 public:
  AmxQuantChains(const AmxQuantPanels& b, int64_t steps, const AmxFetch& fetch)
      : b_(b), steps_(steps), fetch_(fetch) {}

  // chains[i * 32 + j] go on. `next`: the group that follows.
  void add(const AmxQuantRows& a, const AmxQuantRows* next, float* chains) {
    AmxQuantSums& sums = sums_[turn_ ^= 1];
    if (pending_.sums != nullptr) {
      amx_multiply_and_join<F, true>(b_, a, steps_, sums, pending_, next, fetch_);
    } else {
      amx_multiply_and_join<F, false>(b_, a, steps_, sums, pending_, next, fetch_);
    }
    pending_ = {&sums, &a, chains};
  }
  void finish() {
    if (pending_.sums == nullptr) return;
    for (int64_t i = 0; i < kAmxRows; ++i) amx_join_row<F>(pending_, b_, i);
    pending_ = {};
  }

 private:
  const AmxQuantPanels& b_;
  int64_t steps_;
  AmxFetch fetch_;
  AmxQuantSums sums_[2];
  int turn_ = 0;
  AmxQuantPending pending_;
};

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
