// What products with quantised weights on AMX are made of: rounding 16 rows, and two panels of
// weights by a band of rows.
#pragma once

#include "ashlar/kernels/amx/quant_square.h"
#include "ashlar/kernels/norm_row.h"
#include "ashlar/kernels/parallel.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

inline constexpr int64_t kAmxBandRows = 512;  // at most: a super-block of them stays in L2

// Rounded rows, [super-block][group of 16].
struct AmxRounded {
  AmxQuantRows* data = nullptr;
  int64_t groups = 0;

  AmxQuantRows* of(int64_t block) const { return data + block / kSuperBlocks * groups; }
  static int64_t bytes(int64_t rows, int64_t r) {
    return ceil_div(rows, kAmxRows) * ceil_div(r, kQuantSuper) *
           static_cast<int64_t>(sizeof(AmxQuantRows));
  }
};

// Weights: panels, or GGUF's blocks of which panels are still to be made.
struct AmxQuantWeights {
  bool packed = false;
  const std::byte* data = nullptr;
  int64_t n = 0, blocks = 0;  // outputs; blocks along r

  explicit AmxQuantWeights(const GemmArgs& args)
      : packed(args.blocks_b == nullptr),
        data(static_cast<const std::byte*>(packed ? args.packed_b : args.blocks_b)),
        n(args.n),
        blocks(args.r / kQuantBlock) {}
  int64_t columns_of(int64_t pair) const { return lesser(kAmxSquare, n - pair * kAmxSquare); }
};

// Chains of two panels by a band of rows.
using AmxBandChains = float[kAmxBandRows][kAmxSquare];

// One super-block of `count` rows from x on, those behind them nothing. kSums: for formats with
// minima.
template <bool kSums, typename T>
ASHLAR_INLINE void amx_round_super(const T* x, int64_t stride, int64_t count, int64_t blocks,
                                   AmxQuantRows& to) {
  for (int64_t i = 0; i < kAmxRows; ++i, x += stride) {
    if (i < count) {
      AmxQuantRows::put<kSums>(to, i, x, blocks, quantise_scale(x, blocks));
    } else {
      AmxQuantRows::put_nothing(to, i);
    }
  }
}

// Group `group` of A's rows.
template <bool kSums>
static void amx_round_group(const GemmArgs& args, int64_t group, const AmxRounded& to) {
  const int64_t first = group * kAmxRows, count = lesser(kAmxRows, args.m - first);
  with_elements(args.a, [&](const auto* a) {
    each_super(args.r / kQuantBlock, [&](int64_t b, int64_t blocks) {
      amx_round_super<kSums>(a + first * args.a.row_stride + b * kQuantBlock, args.a.row_stride,
                             count, blocks, to.of(b)[group]);
    });
  });
}

// The same behind a norm, of f32.
template <bool kSums>
static void amx_round_normalised(const GemmArgs& args, int64_t group, const AmxRounded& to) {
  const int64_t first = group * kAmxRows, count = lesser(kAmxRows, args.m - first);
  const float* x = static_cast<const float*>(args.a.data) + first * args.a.row_stride;
  RowStatistics rows[kAmxRows];
  for (int64_t i = 0; i < count; ++i) {
    rows[i] = statistics_of(args.norm, x + i * args.a.row_stride, args.r);
  }
  each_super(args.r / kQuantBlock, [&](int64_t b, int64_t blocks) {
    alignas(64) float values[kAmxRows][kQuantSuper];
    for (int64_t i = 0; i < count; ++i) {
      normalise(args.norm, rows[i], x + i * args.a.row_stride, b * kQuantBlock,
                blocks * kQuantBlock, values[i]);
    }
    amx_round_super<kSums>(values[0], kQuantSuper, count, blocks, to.of(b)[group]);
  });
}

// A's rows for weights of any format, or without sums for those that have no minima.
template <bool kSums>
static void amx_round_rows(const GemmArgs& args, const AmxRounded& to, const Team& team) {
  parallel_for(team, to.groups, [&](int64_t group, int) {
    if (args.norm.weight != nullptr) {
      amx_round_normalised<kSums>(args, group, to);
    } else {
      amx_round_group<kSums>(args, group, to);
    }
  });
}
static inline void amx_round_rows(const GemmArgs& args, bool with_sums, const AmxRounded& to,
                                  const Team& team) {
  with_sums ? amx_round_rows<true>(args, to, team) : amx_round_rows<false>(args, to, team);
}

// Blocks [begin, end), a super-block, of two panels from `left` on, or of those to be made first.
template <typename F>
static void amx_unpack_pair(const AmxQuantWeights& w, int64_t pair, const std::byte* left,
                            int64_t begin, int64_t end, AmxQuantPanels& panels) {
  alignas(64) std::byte made[2][F::kSuperBytes];
  const int64_t count = w.columns_of(pair) > kLanes ? 2 : 1;
  int64_t stride = F::panel_bytes(w.blocks);
  if (!w.packed) {
    pack_panels<F>(w.data, w.blocks * kQuantBlock, w.n, 2 * pair, count, begin, end, made[0],
                   F::kSuperBytes);
    left = made[0], stride = F::kSuperBytes;
    end -= begin, begin = 0;
  }
  amx_unpack<F>(left, begin, end, 0, panels);
  if (count == 2) {
    amx_unpack<F>(left + stride, begin, end, 1, panels);
  } else {
    amx_unpack_nothing(1, panels);
  }
}

// Two panels by `groups` groups of rows. `ahead(i)` comes before group i's last super-block and
// `finish(i)` when its chains, from chains[16 i] on, are there, while the next group is computed.
template <typename F, typename Ahead, typename Finish>
ASHLAR_INLINE void amx_multiply_pair(const AmxQuantWeights& w, int64_t pair, const AmxRounded& a,
                                     int64_t first_group, int64_t groups, AmxQuantPanels& panels,
                                     AmxBandChains& chains, Ahead&& ahead, Finish&& finish) {
  const int64_t stride = F::panel_bytes(w.blocks);
  const std::byte* left = w.data + 2 * pair * stride;
  std::memset(chains, 0, static_cast<size_t>(groups * kAmxRows) * sizeof(chains[0]));
  for (int64_t begin = 0; begin < w.blocks; begin += kSuperBlocks) {
    const int64_t end = lesser(w.blocks, begin + kSuperBlocks);
    const bool last = end == w.blocks;
    amx_unpack_pair<F>(w, pair, left, begin, end, panels);
    const AmxQuantRows* rows = a.of(begin) + first_group;
    // The next super-block, or the next pair's first; where there is none, or nothing packed, what
    // is asked for is not read.
    const std::byte* next = last ? left + 2 * stride : left + F::panel_bytes(end);
    AmxQuantChains<F> all(panels, ceil_div((end - begin) * kQuantBlock, kAmxBytes),
                          {next, next + stride, F::kSuperBytes, groups * kAmxQuantSteps});
    for (int64_t i = 0; i < groups; ++i) {
      if (last && i + 1 < groups) ahead(i + 1);
      all.add(rows[i], rows + i + 1, chains[i * kAmxRows]);
      if (last && i > 0) finish(i - 1);
    }
    all.finish();
    if (last) finish(groups - 1);
  }
}

// C = epilogue(rounded rows by the packed weights), as args say. `of_threads`: one each.
struct AmxQuantOwn {
  AmxQuantPanels panels;
  alignas(64) AmxBandChains chains;
};
void amx_multiply_rounded(const GemmArgs& args, const AmxRounded& rows, AmxQuantOwn* of_threads,
                          const Team& team);

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
