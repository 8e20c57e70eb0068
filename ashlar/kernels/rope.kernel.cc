// Rotary positions: first' = first cos - second sin, second' = second cos + first sin, each a
// product and one fma.
#include "ashlar/kernels/rows_parallel.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

template <typename T>
struct Token {
  const T* x;  // the channels that rotate, of the first head
  T* y;
  const float* cosines;
  const float* sines;
};

template <typename T>
ASHLAR_INLINE Token<T> token(const RopeArgs& args, int64_t t) {
  const float* row = args.table + args.positions[t] * args.rotary_dim;
  return {static_cast<const T*>(args.x) + t * args.x_stride + args.rotary_begin,
          static_cast<T*>(args.y) + t * args.heads * args.head_dim + args.rotary_begin, row,
          row + args.rotary_dim / 2};
}

// Pairs (i, i + half).
template <typename T>
ASHLAR_INLINE void rotate_halves(const RopeArgs& args, int64_t t) {
  const Token<T> at = token<T>(args, t);
  const int64_t half = args.rotary_dim / 2;
  const Vec sign = broadcast(args.inverse ? -1.0f : 1.0f);
  for (int64_t h = 0; h < args.heads; ++h) {
    const T* x = at.x + h * args.head_dim;
    T* y = at.y + h * args.head_dim;
    for_each_vec(half, [&](int64_t i, auto count) {
      const Vec cosine = load(at.cosines + i, count);
      const Vec sine = load(at.sines + i, count) * sign;
      const Vec first = load(x + i, count), second = load(x + half + i, count);
      store(y + i, fma(first, cosine, -(second * sine)), count);
      store(y + half + i, fma(second, cosine, first * sine), count);
    });
  }
}

// Pairs (2i, 2i + 1). Cosines and signed sines are spread over both lanes of their pair once for
// all heads.
template <typename T>
ASHLAR_INLINE void rotate_pairs(const RopeArgs& args, int64_t t) {
  constexpr int64_t kSpan = 256;
  const Token<T> at = token<T>(args, t);
  const float sign = args.inverse ? -1.0f : 1.0f;
  for (int64_t begin = 0; begin < args.rotary_dim; begin += kSpan) {
    const int64_t dims = args.rotary_dim - begin < kSpan ? args.rotary_dim - begin : kSpan;
    float cosines[kSpan], sines[kSpan];
    for (int64_t d = 0; d < dims; d += 2) {
      const int64_t i = (begin + d) / 2;
      cosines[d] = cosines[d + 1] = at.cosines[i];
      sines[d] = -at.sines[i] * sign;
      sines[d + 1] = at.sines[i] * sign;
    }
    for (int64_t h = 0; h < args.heads; ++h) {
      const int64_t first = h * args.head_dim + begin;
      for_each_vec(dims, [&](int64_t d, auto count) {
        const Vec pairs = load(at.x + first + d, count);
        const Vec turned = swap_pairs(pairs) * load(sines + d, count);
        store(at.y + first + d, fma(pairs, load(cosines + d, count), turned), count);
      });
    }
  }
}

template <typename T>
ASHLAR_INLINE void copy_rest(const RopeArgs& args, int64_t t) {
  const Token<T> at = token<T>(args, t);
  for (int64_t h = 0; h < args.heads; ++h) {
    const auto copy = [&](int64_t first, int64_t channels) {
      first += h * args.head_dim;
      for_each_vec(channels, [&](int64_t d, auto count) {
        store(at.y + first + d, load(at.x + first + d, count), count);
      });
    };
    copy(-args.rotary_begin, args.rotary_begin);
    copy(args.rotary_dim, args.head_dim - args.rotary_begin - args.rotary_dim);
  }
}

void rope(const RopeArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    using T = decltype(element);
    parallel_rows(team, args.tokens, args.heads * args.head_dim, [&](int64_t t) {
      if (args.interleaved) {
        rotate_pairs<T>(args, t);
      } else {
        rotate_halves<T>(args, t);
      }
      if (args.rotary_dim < args.head_dim && args.x != args.y) copy_rest<T>(args, t);
    });
  });
}

}  // namespace

void fill_rope(KernelTable& table) { table.rope = rope; }

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
