// RMS norm and layer norm, forward and backward. Sums over a row follow the row contract of args.h:
// one vector of 16 partial sums, then a tree.
#include "ashlar/kernels/norm_row.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

// Of the weight and bias of row t.
template <typename Args>
ASHLAR_INLINE int64_t weight_row(const Args& args, int64_t t) {
  return args.weight_rows == 1 ? 0 : t % args.weight_rows * args.width;
}

template <bool kLayer, typename T>
ASHLAR_INLINE void normalise_row(const NormArgs& args, int64_t t, const T* x,
                                 const RowStatistics& row) {
  const int64_t first = weight_row(args, t);
  normalise<kLayer>(x, static_cast<T*>(args.y) + t * args.width, args.width, row,
                    args.weight + first, args.bias != nullptr ? args.bias + first : nullptr,
                    args.weight_offset);
  if (args.rstd != nullptr) args.rstd[t] = row.rstd;
}

template <typename T>
ASHLAR_INLINE void rms_norm_row(const NormArgs& args, int64_t t) {
  const T* x = static_cast<const T*>(args.x) + t * args.width;
  const bool given = args.squares != nullptr;
  const float squares = given ? args.squares[t] : row_sum(x, x, args.width);
  normalise_row<false>(args, t, x,
                       rms_statistics(squares, given ? args.whole : args.width, args.eps));
}

template <typename T>
ASHLAR_INLINE void layer_norm_row(const NormArgs& args, int64_t t) {
  const T* x = static_cast<const T*>(args.x) + t * args.width;
  const RowStatistics row = layer_statistics(x, args.width, args.eps);
  normalise_row<true>(args, t, x, row);
  if (args.mean != nullptr) args.mean[t] = row.mean;
}

void rms_norm(const NormArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    parallel_rows(team, args.rows, args.width,
                  [&](int64_t t) { rms_norm_row<decltype(element)>(args, t); });
  });
}

void layer_norm(const NormArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    parallel_rows(team, args.rows, args.width,
                  [&](int64_t t) { layer_norm_row<decltype(element)>(args, t); });
  });
}

// With z = (x - mean) rstd and g = d_y w:
//   d_x = rstd (g - mean(g) - z mean(g z)) + residual; the term mean(g) is the layer norm's.
template <typename T, bool kLayer>
ASHLAR_INLINE void norm_grad_row(const NormGradArgs& args, int64_t t) {
  const T* x = static_cast<const T*>(args.x) + t * args.width;
  const T* d_y = static_cast<const T*>(args.d_y) + t * args.width;
  T* d_x = static_cast<T*>(args.d_x) + t * args.width;
  const float width = static_cast<float>(args.width);
  const Vec mean = broadcast(kLayer ? args.mean[t] : 0);
  const Vec rstd = broadcast(args.rstd[t]);
  const auto normalised = [&](int64_t i, auto count) {
    const Vec v = load(x + i, count);
    return (kLayer ? v - mean : v) * rstd;
  };
  const float* weight = args.weight + weight_row(args, t);
  const Vec offset = broadcast(args.weight_offset);
  // Zero beyond count, because d_y is.
  const auto weighted = [&](int64_t i, auto count) {
    return load(d_y + i, count) * (load(weight + i, count) + offset);
  };
  Vec sum_g = zero(), sum_gz = zero();
  const bool given = !kLayer && args.products != nullptr;
  for_each_vec(given ? 0 : args.width, [&](int64_t i, auto count) {
    const Vec g = weighted(i, count);
    if (kLayer) sum_g = sum_g + g;
    sum_gz = fma(g, normalised(i, count), sum_gz);
  });
  const Vec mean_g = broadcast(kLayer ? reduce_add(sum_g) / width : 0);
  const Vec mean_gz =
      broadcast(given ? args.products[t] * args.rstd[t] / static_cast<float>(args.whole)
                      : reduce_add(sum_gz) / width);
  for_each_vec(args.width, [&](int64_t i, auto count) {
    Vec d = fnma(normalised(i, count), mean_gz, weighted(i, count));
    if (kLayer) d = d - mean_g;
    d = d * rstd;
    if (args.residual_grad != nullptr) {
      d = d + load(static_cast<const T*>(args.residual_grad) + t * args.width + i, count);
    }
    store(d_x + i, d, count);
  });
}

void norm_grad(const NormGradArgs& args, const Team& team) {
  if (args.d_x == nullptr) return;
  with_element(args.dtype, [&](auto element) {
    using T = decltype(element);
    if (args.mean != nullptr) {
      parallel_rows(team, args.rows, args.width,
                    [&](int64_t t) { norm_grad_row<T, true>(args, t); });
    } else {
      parallel_rows(team, args.rows, args.width,
                    [&](int64_t t) { norm_grad_row<T, false>(args, t); });
    }
  });
}

template <typename T>
ASHLAR_INLINE void row_dot_row(const RowDotArgs& args, int64_t t) {
  const T* a = static_cast<const T*>(args.a) + t * args.width;
  const T* b = static_cast<const T*>(args.b) + t * args.width;
  if (args.weight == nullptr) {
    args.sums[t] = row_sum(a, b, args.width);
    return;
  }
  const Vec offset = broadcast(args.weight_offset);
  Vec sum = zero();
  for_each_vec(args.width, [&](int64_t i, auto count) {
    const Vec g = load(a + i, count) * (load(args.weight + i, count) + offset);
    sum = fma(g, load(b + i, count), sum);
  });
  args.sums[t] = reduce_add(sum);
}

void row_dot(const RowDotArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    parallel_rows(team, args.rows, args.width,
                  [&](int64_t t) { row_dot_row<decltype(element)>(args, t); });
  });
}

// Adds kRows rows from t on, weight_rows apart, to the sums of columns [begin, end) of their
// weights: each column one chain.
template <typename T, bool kLayer, int kRows>
ASHLAR_INLINE void add_weight_grad(const NormWeightGradArgs& args, int64_t t, int64_t begin,
                                   int64_t end) {
  const int64_t step = args.weight_rows, stride = step * args.width;
  const T* x = static_cast<const T*>(args.x) + t * args.width + begin;
  const T* d_y = static_cast<const T*>(args.d_y) + t * args.width + begin;
  const int64_t first = weight_row(args, t) + begin;
  float* d_weight = args.d_weight + first;
  float* d_bias = args.d_bias != nullptr ? args.d_bias + first : nullptr;
  for_each_vec(end - begin, [&](int64_t i, auto count) {
    Vec weight_sum = load(d_weight + i, count);
    Vec bias_sum = d_bias != nullptr ? load(d_bias + i, count) : zero();
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vec v = load(x + r * stride + i, count);
      const Vec g = load(d_y + r * stride + i, count);
      const Vec centered = kLayer ? v - broadcast(args.mean[t + r * step]) : v;
      weight_sum = fma(g, centered * broadcast(args.rstd[t + r * step]), weight_sum);
      bias_sum = bias_sum + g;
    }
    store(d_weight + i, weight_sum, count);
    if (d_bias != nullptr) store(d_bias + i, bias_sum, count);
  });
}

template <typename T, bool kLayer>
ASHLAR_INLINE void weight_grad_columns(const NormWeightGradArgs& args, int64_t begin, int64_t end) {
  constexpr int kRows = 8;  // rows in flight: the sums stay in registers meanwhile
  const int64_t step = args.weight_rows;
  for (int64_t first = 0; first < step; ++first) {
    if (!args.accumulate) {
      const int64_t at = first * args.width + begin;
      for_each_vec(end - begin, [&](int64_t i, auto count) {
        store(args.d_weight + at + i, zero(), count);
        if (args.d_bias != nullptr) store(args.d_bias + at + i, zero(), count);
      });
    }
    int64_t t = first;
    for (; t + (kRows - 1) * step < args.rows; t += kRows * step) {
      add_weight_grad<T, kLayer, kRows>(args, t, begin, end);
    }
    for (; t < args.rows; t += step) add_weight_grad<T, kLayer, 1>(args, t, begin, end);
  }
}

void norm_weight_grad(const NormWeightGradArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    using T = decltype(element);
    parallel_columns(team, args.width, [&](int64_t begin, int64_t end) {
      if (args.mean != nullptr) {
        weight_grad_columns<T, true>(args, begin, end);
      } else {
        weight_grad_columns<T, false>(args, begin, end);
      }
    });
  });
}

}  // namespace

void fill_norm(KernelTable& table) {
  table.rms_norm = rms_norm;
  table.layer_norm = layer_norm;
  table.norm_grad = norm_grad;
  table.norm_weight_grad = norm_weight_grad;
  table.row_dot = row_dot;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
