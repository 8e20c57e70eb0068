// The gated MLP with quantised weights, product by product.
#include "ashlar/kernels/elementwise_activation.h"
#include "ashlar/kernels/extent.h"
#include "ashlar/kernels/gate_row.h"
#include "ashlar/kernels/quant_gemm.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

namespace {

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

int64_t gated_mlp_scratch(const GatedMlpArgs& args, int) {
  const GemmArgs first[] = {args.gate, args.up};
  return 2 * inner_bytes(args) +
         greater_of(quant_gemm_scratch(first, 2), quant_gemm_scratch(&args.down, 1));
}

void gated_mlp(const GatedMlpArgs& args, const Team& team) {
  if (args.gate.m == 0) return;
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

}  // namespace

void fill_quant_mlp(KernelTable& table) {
  table.gated_mlp_scratch = gated_mlp_scratch;
  table.gated_mlp = gated_mlp;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
