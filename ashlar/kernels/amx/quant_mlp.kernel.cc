// The gated MLP with quantised weights on AMX, for many rows. A task takes a band of rows and a
// super-block of the values between: both products, the gate and the rounding for the last product
// stay in its L2 cache, where they would go to memory three times, and come back, one by one.
#include "ashlar/kernels/amx/quant_gemm.h"
#include "ashlar/kernels/amx/quant_product.h"
#include "ashlar/kernels/elementwise_activation.h"
#include "ashlar/kernels/gate_row.h"
#include "ashlar/kernels/quant_bands.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

namespace {

int64_t (*other_scratch)(const GatedMlpArgs& args, int threads);
void (*other_mlp)(const GatedMlpArgs& args, const Team& team);

constexpr int64_t kSuperPairs = kQuantSuper / kAmxSquare;  // pairs of panels of a super-block
constexpr int64_t kTasksEach = 4;

// Each thread's; `last` is used afterwards.
struct Own {
  AmxQuantPanels panels;
  alignas(64) AmxBandChains gates, ups;
  alignas(64) float inner[kAmxBandRows][kQuantSuper];
};
union Thread {
  Own own;
  AmxQuantOwn last;
};

// to = f(gate) * up: 16 rows of two panels.
void apply_gate(Activation activation, const float (*gates)[kAmxSquare],
                const float (*ups)[kAmxSquare], float (*to)[kQuantSuper], int64_t column) {
  with_activation(activation, [&](auto f) {
    for (int64_t i = 0; i < kAmxRows; ++i) {
      gate_row(f, gates[i], ups[i], to[i] + column, kAmxSquare);
    }
  });
}

struct Inner {
  const GatedMlpArgs& args;
  AmxRounded x, to;

  // Super-block `super` of the values between, for groups of rows.
  void compute(int64_t super, int64_t first_group, int64_t groups, Own& own) const {
    const AmxQuantWeights gate(args.gate), up(args.up);
    const int64_t first = super * kSuperPairs;
    const int64_t last = lesser(first + kSuperPairs, ceil_div(gate.n, kAmxSquare));
    const auto nothing = [](int64_t) {};
    for (int64_t pair = first; pair < last; ++pair) {
      with_format(args.gate.packed_dtype, [&]<typename F>(F) {
        amx_multiply_pair<F>(gate, pair, x, first_group, groups, own.panels, own.gates, nothing,
                             nothing);
      });
      with_format(args.up.packed_dtype, [&]<typename F>(F) {
        amx_multiply_pair<F>(up, pair, x, first_group, groups, own.panels, own.ups, nothing,
                             [&](int64_t i) {
                               const int64_t row = i * kAmxRows;
                               apply_gate(args.activation, own.gates + row, own.ups + row,
                                          own.inner + row, (pair - first) * kAmxSquare);
                             });
      });
    }
    round(super, first_group, groups, own);
  }

  void round(int64_t super, int64_t first_group, int64_t groups, const Own& own) const {
    const int64_t block = super * kSuperBlocks;
    const int64_t blocks = lesser(kSuperBlocks, args.down.r / kQuantBlock - block);
    with_format(args.down.packed_dtype, [&]<typename F>(F) {
      for (int64_t i = 0; i < groups; ++i) {
        const int64_t row = (first_group + i) * kAmxRows;
        amx_round_super<F::kHasMinimum>(own.inner[i * kAmxRows], kQuantSuper,
                                        lesser(kAmxRows, args.down.m - row), blocks,
                                        to.of(block)[first_group + i]);
      }
    });
  }
};

int64_t fused_scratch(const GatedMlpArgs& args, int threads) {
  return threads * static_cast<int64_t>(sizeof(Thread)) +
         AmxRounded::bytes(args.gate.m, args.gate.r) + AmxRounded::bytes(args.down.m, args.down.r);
}

int64_t gated_mlp_scratch(const GatedMlpArgs& args, int threads) {
  if (args.gate.m < kAmxQuantLeastRows) return other_scratch(args, threads);
  GatedMlpArgs few = args;  // a later call may have fewer rows
  few.gate.m = few.up.m = few.down.m = kAmxQuantLeastRows - 1;
  return greater_of(fused_scratch(args, threads), other_scratch(few, threads));
}

void gated_mlp(const GatedMlpArgs& args, const Team& team) {
  if (args.gate.m < kAmxQuantLeastRows) return other_mlp(args, team);
  auto* threads = reinterpret_cast<Thread*>(team.scratch);
  auto* rows = reinterpret_cast<std::byte*>(threads + team.threads);
  const int64_t groups = ceil_div(args.gate.m, kAmxRows);
  const AmxRounded x = {reinterpret_cast<AmxQuantRows*>(rows), groups};
  rows += AmxRounded::bytes(args.gate.m, args.gate.r);
  const AmxRounded inner = {reinterpret_cast<AmxQuantRows*>(rows), groups};
  amx_round_rows(args.gate,
                 has_minimum(args.gate.packed_dtype) || has_minimum(args.up.packed_dtype), x, team);

  const QuantBands p =
      cut_bands(groups, kAmxBandRows / kAmxRows, ceil_div(args.gate.n, kQuantSuper), 1, 1,
                kTasksEach * team.threads);
  parallel_for(team, p.bands * p.columns, [&](int64_t task, int thread) {
    const int64_t first = task / p.columns * p.band_tiles;
    amx_configure(kAmxRows);
    Inner{args, x, inner}.compute(task % p.columns, first,
                                  lesser(p.tiles, first + p.band_tiles) - first,
                                  threads[thread].own);
    amx_release();
  });
  amx_multiply_rounded(args.down, inner, reinterpret_cast<AmxQuantOwn*>(threads), team);
}

}  // namespace

void fill_quant_mlp(KernelTable& table) {
  other_scratch = table.gated_mlp_scratch;
  other_mlp = table.gated_mlp;
  table.gated_mlp_scratch = gated_mlp_scratch;
  table.gated_mlp = gated_mlp;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
