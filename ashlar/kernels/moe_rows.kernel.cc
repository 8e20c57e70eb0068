// Rows of a mixture of experts: to the experts and back to their tokens, and those of the expert
// that all share, with their gradients.
#include "ashlar/kernels/rows_parallel.h"
#include "ashlar/kernels/table.h"
#include "ashlar/kernels/vec_math.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

template <typename T>
ASHLAR_INLINE void dispatch_row(const MoeDispatchArgs& args, int64_t row) {
  T* y = static_cast<T*>(args.y) + row * args.width;
  const int64_t pair = args.sources[row];
  if (pair < 0) {
    std::memset(y, 0, static_cast<size_t>(args.width) * sizeof(T));
    return;
  }
  const T* x = static_cast<const T*>(args.x) + pair / args.top_k * args.width;
  if (args.weights == nullptr) {
    std::memcpy(y, x, static_cast<size_t>(args.width) * sizeof(T));
    return;
  }
  const Vec weight = broadcast(args.weights[pair]);
  for_each_vec(args.width,
               [&](int64_t i, auto count) { store(y + i, weight * load(x + i, count), count); });
}

void moe_dispatch(const MoeDispatchArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    parallel_rows(team, args.rows, args.width,
                  [&](int64_t row) { dispatch_row<decltype(element)>(args, row); });
  });
}

template <typename T>
ASHLAR_INLINE void combine_row(const MoeCombineArgs& args, int64_t t) {
  const int32_t* slots = args.slots + t * args.top_k;
  const float* weights = args.weights != nullptr ? args.weights + t * args.top_k : nullptr;
  const T* residual =
      args.residual != nullptr ? static_cast<const T*>(args.residual) + t * args.width : nullptr;
  T* y = static_cast<T*>(args.y) + t * args.width;
  for_each_vec(args.width, [&](int64_t i, auto count) {
    Vec sum = zero();
    for (int64_t c = 0; c < args.top_k; ++c) {
      if (slots[c] < 0) continue;
      const T* x = static_cast<const T*>(args.x) + slots[c] * args.width;
      sum = fma(broadcast(weights != nullptr ? weights[c] : 1), load(x + i, count), sum);
    }
    if (residual != nullptr) sum = sum + load(residual + i, count);
    store(y + i, sum, count);
  });
}

void moe_combine(const MoeCombineArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    parallel_rows(team, args.rows, args.width * args.top_k,
                  [&](int64_t t) { combine_row<decltype(element)>(args, t); });
  });
}

template <typename T>
ASHLAR_INLINE void weight_grad_row(const MoeWeightGradArgs& args, int64_t t) {
  const T* d_y = static_cast<const T*>(args.d_y) + t * args.width;
  for (int64_t pair = t * args.top_k; pair < (t + 1) * args.top_k; ++pair) {
    const int64_t row = args.slots[pair];
    Vec sum = zero();
    if (row >= 0) {
      const T* x = static_cast<const T*>(args.x) + row * args.width;
      for_each_vec(args.width, [&](int64_t i, auto count) {
        sum = fma(load(d_y + i, count), load(x + i, count), sum);
      });
    }
    args.d_weights[pair] = reduce_add(sum);
  }
}

void moe_weight_grad(const MoeWeightGradArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    parallel_rows(team, args.rows, args.width * args.top_k,
                  [&](int64_t t) { weight_grad_row<decltype(element)>(args, t); });
  });
}

void row_gate(const RowGateArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    using T = decltype(element);
    parallel_rows(team, args.rows, args.width, [&](int64_t t) {
      const T* x = static_cast<const T*>(args.x) + t * args.width;
      const T* residual = static_cast<const T*>(args.residual);
      T* y = static_cast<T*>(args.y) + t * args.width;
      const Vec gate = sigmoid(broadcast(args.gate[t]));
      for_each_vec(args.width, [&](int64_t i, auto count) {
        Vec z = gate * load(x + i, count);
        if (residual != nullptr) z = z + load(residual + t * args.width + i, count);
        store(y + i, z, count);
      });
    });
  });
}

void row_gate_grad(const RowGateGradArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    using T = decltype(element);
    parallel_rows(team, args.rows, args.width, [&](int64_t t) {
      const T* x = static_cast<const T*>(args.x) + t * args.width;
      const T* d_y = static_cast<const T*>(args.d_y) + t * args.width;
      T* d_x = static_cast<T*>(args.d_x) + t * args.width;
      const Vec gate = sigmoid(broadcast(args.gate[t]));
      Vec sum = zero();
      for_each_vec(args.width, [&](int64_t i, auto count) {
        const Vec d = load(d_y + i, count);
        sum = fma(d, load(x + i, count), sum);
        store(d_x + i, gate * d, count);
      });
      const float s = reduce_max(gate);
      args.d_gate[t] = s * (1 - s) * reduce_add(sum);
    });
  });
}

}  // namespace

void fill_moe_rows(KernelTable& table) {
  table.moe_dispatch = moe_dispatch;
  table.moe_combine = moe_combine;
  table.moe_weight_grad = moe_weight_grad;
  table.row_gate = row_gate;
  table.row_gate_grad = row_gate_grad;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
