// Arguments of the kernels of a mixture of experts. Shapes: T tokens, E experts, k choices a token,
// C width, R rows of all experts, sorted by expert. Pair s = t k + c is choice c of token t. A
// pair's row is slots[s], a row's pair sources[row]; -1: a dropped pair, a row without a pair.
// The two maps are inverse to each other, so a sum over a token's choices has one order, and no row
// is written twice.
#pragma once

#include "ashlar/tensor/dtype.h"

#include <cstdint>

namespace ashlar::kernels {

// How a router turns a token's logits into experts and weights. An expert's score is its share of
// the softmax over all experts, or the sigmoid of its logit. Experts are chosen by score, plus a
// bias for sigmoids (DeepSeek-V3, Liu et al. 2024, equation 16); weights are scores without it.
enum class RouteScore : uint8_t { kSoftmax, kSigmoid };
struct RouteRule {
  int64_t top_k = 2;
  bool renormalise = true;  // weights are divided by their sum over the chosen experts
  RouteScore score = RouteScore::kSoftmax;
  float scale = 1;  // of all weights, at last
  // Experts are cut into `groups` of consecutive ones, and chosen among those of the `top_groups`
  // best; a group is as good as the sum of its `group_best` best experts.
  int64_t groups = 1, top_groups = 1, group_best = 1;
};

// The k experts of each token: the best ones, of equal ones the lower expert, in that order (a
// softmax is ordered as its logits are); of equal groups the lower one. Indices are in range
// whatever the logits are; a NaN among them shows in the weights.
struct MoeRouteArgs {
  int64_t rows = 0, experts = 0;
  RouteRule rule;
  const float* logits = nullptr;  // [T,E]
  const float* bias = nullptr;    // [E]; may be null; of sigmoids only
  float* weights = nullptr;       // [T,k]
  int32_t* chosen = nullptr;      // [T,k]
};
// Each thread has room for what experts and groups are chosen by.
constexpr int64_t moe_route_thread_bytes(const RouteRule& rule, int64_t experts) {
  return (experts + rule.groups) * static_cast<int64_t>(sizeof(float)) / 64 * 64 + 64;
}
struct MoeRouteGradArgs {
  MoeRouteArgs forward;              // weights and chosen are inputs here
  const float* d_weights = nullptr;  // [T,k]
  float* d_logits = nullptr;         // [T,E]
};

// What the experts have to do: load[0,e] counts the pairs that chose e, load[1,e] is the sum over
// tokens of the softmax's p_e. Tokens in ascending order, onto `so_far` where it is set.
struct MoeLoadArgs {
  int64_t rows = 0, experts = 0, top_k = 0;
  const float* logits = nullptr;    // [T,E]
  const int32_t* chosen = nullptr;  // [T,k]
  const double* so_far = nullptr;   // [2,E]; may be null
  double* load = nullptr;           // [2,E]; may be so_far
};
struct MoeLoadGradArgs {  // d_logits of the sums of p; counts have no gradient
  int64_t rows = 0, experts = 0;
  const float* logits = nullptr;   // [T,E]
  const double* d_load = nullptr;  // [2,E], of which row 1
  float* d_logits = nullptr;       // [T,E]
};

// y[row] = weight of its pair (1 where weights is null) times x of its token; zeros without a pair.
struct MoeDispatchArgs {
  int64_t rows = 0, width = 0, top_k = 0;
  DType dtype = DType::kF32;         // of x and y
  const void* x = nullptr;           // [T,C]
  const int32_t* sources = nullptr;  // [R]
  const float* weights = nullptr;    // [T,k]; may be null
  void* y = nullptr;                 // [R,C]
};
// y[t] = the sum over t's choices in ascending order of weight times x[row], one fma chain from 0,
// then + residual[t] where it is set. A dropped pair adds nothing.
struct MoeCombineArgs {
  int64_t rows = 0, width = 0, top_k = 0;  // rows: T
  DType dtype = DType::kF32;               // of x, residual and y
  const void* x = nullptr;                 // [R,C]
  const int32_t* slots = nullptr;          // [T,k]
  const float* weights = nullptr;          // [T,k]; null: all 1
  const void* residual = nullptr;          // [T,C]; may be null, may be y
  void* y = nullptr;                       // [T,C]
};
// d_weights[t,c] = d_y[t] . x[row], by the contract of row reductions (args.h); 0 where dropped.
struct MoeWeightGradArgs {
  int64_t rows = 0, width = 0, top_k = 0;  // rows: T
  DType dtype = DType::kF32;               // of x and d_y
  const void* x = nullptr;                 // [R,C]
  const int32_t* slots = nullptr;          // [T,k]
  const void* d_y = nullptr;               // [T,C]
  float* d_weights = nullptr;              // [T,k]
};

// y[t] = sigmoid(gate[t]) x[t] (+ residual[t] where it is set): an expert that all tokens share.
struct RowGateArgs {
  int64_t rows = 0, width = 0;
  DType dtype = DType::kF32;       // of x, residual and y
  const void* x = nullptr;         // [T,C]
  const float* gate = nullptr;     // [T]
  const void* residual = nullptr;  // [T,C]; may be null, may be y
  void* y = nullptr;               // [T,C]
};
// d_x[t] = sigmoid(gate[t]) d_y[t]; d_gate[t] = s (1 - s) d_y[t] . x[t], by the contract of row
// reductions (args.h).
struct RowGateGradArgs {
  int64_t rows = 0, width = 0;
  DType dtype = DType::kF32;    // of x, d_y and d_x
  const void* x = nullptr;      // [T,C]
  const float* gate = nullptr;  // [T]
  const void* d_y = nullptr;    // [T,C]
  void* d_x = nullptr;          // [T,C]; may be d_y
  float* d_gate = nullptr;      // [T]
};

}  // namespace ashlar::kernels
