// A mixture of experts in double: the oracle of ../moe_*.kernel.cc and ../moe_assign.cc, and the
// engine of fp64 runs. Fields mean what they mean in ../moe_args.h and ../moe_assign.h.
#pragma once

#include "ashlar/kernels/moe_args.h"
#include "ashlar/kernels/moe_assign.h"

#include <cstdint>

namespace ashlar::kernels::ref {

struct MoeRouteArgs {
  int64_t rows = 0, experts = 0;
  RouteRule rule;
  const double* logits = nullptr;  // [T,E]
  const double* bias = nullptr;    // [E]; may be null
  double* weights = nullptr;       // [T,k]
  int32_t* chosen = nullptr;       // [T,k]
};
struct MoeRouteGradArgs {
  MoeRouteArgs forward;               // weights and chosen are inputs here
  const double* d_weights = nullptr;  // [T,k]
  double* d_logits = nullptr;         // [T,E]
};
void moe_route(const MoeRouteArgs& args);
void moe_route_grad(const MoeRouteGradArgs& args);

struct MoeLoadArgs {
  int64_t rows = 0, experts = 0, top_k = 0;
  const double* logits = nullptr;   // [T,E]
  const int32_t* chosen = nullptr;  // [T,k]
  const double* so_far = nullptr;   // [2,E]; may be null
  double* load = nullptr;           // [2,E]
};
struct MoeLoadGradArgs {
  int64_t rows = 0, experts = 0;
  const double* logits = nullptr;  // [T,E]
  const double* d_load = nullptr;  // [2,E]
  double* d_logits = nullptr;      // [T,E]
};
void moe_load(const MoeLoadArgs& args);
void moe_load_grad(const MoeLoadGradArgs& args);

void moe_count(const MoeAssignSpec& spec, const int32_t* chosen, const double* weights,
               int32_t* counts);
// Pair by pair, counting for each how many stand before it. weights: of 1 where null.
void moe_assign(const MoeAssignSpec& spec, const int32_t* chosen, const double* weights,
                const MoeAssignment& out);

struct MoeRowsArgs {
  int64_t tokens = 0, rows = 0, width = 0, top_k = 0;
  const double* x = nullptr;  // dispatch: [T,C], else [R,C]
  const int32_t* slots = nullptr;
  const int32_t* sources = nullptr;
  const double* weights = nullptr;   // [T,k]; null: all 1
  const double* residual = nullptr;  // [T,C]; combine only; may be null
  const double* d_y = nullptr;       // [T,C]; weight_grad only
  double* y = nullptr;               // dispatch: [R,C], combine: [T,C], weight_grad: [T,k]
};
void moe_dispatch(const MoeRowsArgs& args);
void moe_combine(const MoeRowsArgs& args);
void moe_weight_grad(const MoeRowsArgs& args);

struct RowGateArgs {
  int64_t rows = 0, width = 0;
  const double* x = nullptr;         // [T,C]
  const double* gate = nullptr;      // [T]
  const double* residual = nullptr;  // [T,C]; may be null
  double* y = nullptr;               // [T,C]
};
struct RowGateGradArgs {
  int64_t rows = 0, width = 0;
  const double* x = nullptr;     // [T,C]
  const double* gate = nullptr;  // [T]
  const double* d_y = nullptr;   // [T,C]
  double* d_x = nullptr;         // [T,C]; may be d_y
  double* d_gate = nullptr;      // [T]
};
void row_gate(const RowGateArgs& args);
void row_gate_grad(const RowGateGradArgs& args);

}  // namespace ashlar::kernels::ref
