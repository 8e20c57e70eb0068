// The gated MLP with quantised weights. A task takes a band of rows and a super-block of the values
// between: both products, the gate and the rounding for the last product stay in its caches, and
// threads meet twice less. Where those are too few tasks for the threads there are, it goes product
// by product.
#include "ashlar/kernels/elementwise_activation.h"
#include "ashlar/kernels/gate_row.h"
#include "ashlar/kernels/quant_gemm.h"
#include "ashlar/kernels/quant_product.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

namespace {

constexpr int64_t kTasksEach = 2;  // at least
constexpr int64_t kSuperPanels = kQuantSuper / kLanes;

QuantBands plan_inner(const GatedMlpArgs& args) {
  return cut_bands(ceil_div(args.gate.m, rows_of_tile(args.gate.m)), kBandTiles,
                   ceil_div(args.gate.n, kLanes), kSuperPanels, kSuperPanels, 1);
}

bool is_fused(const QuantBands& p, int threads) {
  return threads == 1 || p.bands * p.columns >= kTasksEach * threads;
}

// The most rows of a call that is not, and not more than `args` has.
int64_t rows_by_products(const GatedMlpArgs& args, int threads) {
  if (threads == 1) return 0;
  const int64_t bands = (kTasksEach * threads - 1) / ceil_div(args.gate.n, kQuantSuper);
  return lesser(args.gate.m, bands * kBandRows);
}

// Values between of one task: gates first, then what they let through.
struct alignas(64) InnerBand {
  float values[kBandRows][kQuantSuper];
};

struct Inner {
  const GatedMlpArgs& args;
  const std::byte* x_of_gate;
  const std::byte* x_of_up;
  std::byte* to;

  // Rows [m0, m1), whole tiles, of super-block `super`.
  void compute(int64_t super, int64_t m0, int64_t m1, InnerBand& band) const {
    const int64_t first = super * kSuperPanels;
    const int64_t last = lesser(first + kSuperPanels, ceil_div(args.gate.n, kLanes));
    const auto nothing = [](int64_t, int64_t, int64_t, int64_t) {};
    const auto row_of = [&](int64_t m, int64_t n) {
      return band.values[m - m0] + (n - super * kQuantSuper);
    };
    with_format(args.gate.packed_dtype, [&]<typename F>(F) {
      multiply_band<F>(args.gate, x_of_gate, m0, m1, first, last, nothing,
                       [&](const float* sums, int64_t m, int64_t rows, int64_t n, int64_t columns) {
                         for (int64_t i = 0; i < rows; ++i, sums += kQuantStride) {
                           std::memcpy(row_of(m + i, n), sums,
                                       static_cast<size_t>(columns) * sizeof(float));
                         }
                       });
    });
    with_format(args.up.packed_dtype, [&]<typename F>(F) {
      multiply_band<F>(args.up, x_of_up, m0, m1, first, last, nothing,
                       [&](const float* sums, int64_t m, int64_t rows, int64_t n, int64_t columns) {
                         with_activation(args.activation, [&](auto f) {
                           for (int64_t i = 0; i < rows; ++i, sums += kQuantStride) {
                             float* gate = row_of(m + i, n);
                             gate_row(f, gate, sums, gate, columns);
                           }
                         });
                       });
    });
    round(super, m0, m1, band);
  }

  void round(int64_t super, int64_t m0, int64_t m1, const InnerBand& band) const {
    const int64_t tile_rows = rows_of_tile(args.down.m), all = args.down.r / kQuantBlock;
    const int64_t begin = super * kSuperBlocks, blocks = lesser(kSuperBlocks, all - begin);
    with_format(args.down.packed_dtype, [&]<typename F>(F) {
      auto* rows = reinterpret_cast<RowOf<F>*>(to);
      for (int64_t m = m0; m < m1; ++m) {
        const int64_t tile = m / tile_rows * tile_rows,
                      count = lesser(tile_rows, args.down.m - tile);
        round_super<F>(band.values[m - m0], blocks, count,
                       rows + tile * all + begin * count + (m - tile));
      }
    });
  }
};

int64_t x_bytes(const GatedMlpArgs& args) {
  return rounded_bytes(args.gate) +
         (args.up.packed_dtype == args.gate.packed_dtype ? 0 : rounded_bytes(args.up));
}

void fused(const GatedMlpArgs& args, const QuantBands& p, const Team& team) {
  auto* bands = reinterpret_cast<InnerBand*>(team.scratch);
  std::byte* of_gate = team.scratch + team.threads * static_cast<int64_t>(sizeof(InnerBand));
  std::byte* of_up = of_gate;
  with_format(args.gate.packed_dtype,
              [&]<typename F>(F) { round_rows<F>(args.gate, of_gate, team); });
  if (args.up.packed_dtype != args.gate.packed_dtype) {
    of_up += rounded_bytes(args.gate);
    with_format(args.up.packed_dtype, [&]<typename F>(F) { round_rows<F>(args.up, of_up, team); });
  }
  std::byte* inner = of_gate + x_bytes(args);
  const int64_t band_rows = p.band_tiles * rows_of_tile(args.gate.m);
  parallel_for(team, p.bands * p.columns, [&](int64_t task, int thread) {
    const int64_t m0 = task / p.columns * band_rows;
    Inner{args, of_gate, of_up, inner}.compute(task % p.columns, m0,
                                               lesser(args.gate.m, m0 + band_rows), bands[thread]);
  });
  quant_gemm_rounded(args.down, inner, team);
}

// Of f32 [M, inner].
int64_t inner_bytes(const GatedMlpArgs& args) {
  return round_up(args.gate.m * args.gate.n * static_cast<int64_t>(sizeof(float)), 64);
}

// gate = f(gate) * up.
void apply_gate(const GatedMlpArgs& args, float* gate, const float* up, const Team& team) {
  const int64_t width = args.gate.n;
  with_activation(args.activation, [&](auto f) {
    parallel_rows(team, args.gate.m, width, [&](int64_t t) {
      float* row = gate + t * width;
      gate_row(f, row, up + t * width, row, width);
    });
  });
}

GemmArgs into(GemmArgs args, float* c) {
  args.c = c;
  args.c_dtype = DType::kF32;
  args.c_stride = args.n;
  return args;
}

void by_products(const GatedMlpArgs& args, const Team& team) {
  float* gate = reinterpret_cast<float*>(team.scratch);
  float* up = reinterpret_cast<float*>(team.scratch + inner_bytes(args));
  Team rest = team;
  rest.scratch += 2 * inner_bytes(args);
  rest.scratch_bytes -= 2 * inner_bytes(args);
  const GemmArgs first[] = {into(args.gate, gate), into(args.up, up)};
  quant_gemm(first, 2, rest);
  apply_gate(args, gate, up, team);
  GemmArgs down = args.down;
  down.a = {gate, DType::kF32, down.r, 1};
  quant_gemm(&down, 1, rest);
}

int64_t fused_scratch(const GatedMlpArgs& args, int threads) {
  return threads * static_cast<int64_t>(sizeof(InnerBand)) + x_bytes(args) +
         rounded_bytes(args.down);
}

int64_t products_scratch(GatedMlpArgs args, int64_t rows) {
  if (rows == 0) return 0;
  args.gate.m = args.up.m = args.down.m = rows;
  const GemmArgs first[] = {args.gate, args.up};
  return 2 * inner_bytes(args) +
         greater_of(quant_gemm_scratch(first, 2), quant_gemm_scratch(&args.down, 1));
}

// A later call may have fewer rows.
int64_t gated_mlp_scratch(const GatedMlpArgs& args, int threads) {
  return greater_of(fused_scratch(args, threads),
                    products_scratch(args, rows_by_products(args, threads)));
}

void gated_mlp(const GatedMlpArgs& args, const Team& team) {
  if (args.gate.m == 0) return;
  const QuantBands p = plan_inner(args);
  if (is_fused(p, team.threads)) return fused(args, p, team);
  by_products(args, team);
}

}  // namespace

void fill_quant_mlp(KernelTable& table) {
  table.gated_mlp_scratch = gated_mlp_scratch;
  table.gated_mlp = gated_mlp;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
