#include "ashlar/comm/reduction.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <concepts>
#include <type_traits>

namespace ashlar::comm {
namespace {

template <typename T>
T load(T x) {
  return x;
}
float load(bf16 x) { return to_float(x); }
float load(f16 x) { return to_float(x); }

template <typename T, typename A>
T store(A x) {
  if constexpr (std::is_same_v<T, bf16>)
    return to_bf16(x);
  else if constexpr (std::is_same_v<T, f16>)
    return to_f16(x);
  else
    return x;
}

struct Sum {
  template <typename A>
  A operator()(A a, A b) const {
    if constexpr (std::integral<A>)
      return static_cast<A>(static_cast<std::make_unsigned_t<A>>(a) +
                            static_cast<std::make_unsigned_t<A>>(b));
    else
      return a + b;
  }
};
struct Max {
  template <typename A>
  A operator()(A a, A b) const {
    return b > a || b != b ? b : a;
  }
};

// By blocks that stay in the first-level cache, so that each term is read and the sum written once.
template <typename T, typename F>
void reduce_as(F combine, std::span<const std::byte* const> terms, std::byte* out, int64_t n) {
  constexpr int64_t kBlock = 1024;
  using A = decltype(load(T{}));
  A sum[kBlock];
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t length = std::min(kBlock, n - begin);
    const T* first = reinterpret_cast<const T*>(terms[0]) + begin;
    for (int64_t i = 0; i < length; ++i) sum[i] = load(first[i]);
    for (const std::byte* bytes : terms.subspan(1)) {
      const T* term = reinterpret_cast<const T*>(bytes) + begin;
      for (int64_t i = 0; i < length; ++i) sum[i] = combine(sum[i], A{load(term[i])});
    }
    T* target = reinterpret_cast<T*>(out) + begin;
    for (int64_t i = 0; i < length; ++i) target[i] = store<T>(sum[i]);
  }
}

template <typename T>
void reduce_by(Reduce reduce, std::span<const std::byte* const> terms, std::byte* out, int64_t n) {
  if (reduce == Reduce::kSum)
    reduce_as<T>(Sum{}, terms, out, n);
  else
    reduce_as<T>(Max{}, terms, out, n);
}

}  // namespace

void check_reducible(DType dtype) {
  ASHLAR_CHECK(dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kBF16 ||
                   dtype == DType::kF16 || dtype == DType::kI64 || dtype == DType::kI32,
               "reduce: {} cannot be reduced between ranks: use f64, f32, bf16, f16, i64 or i32",
               ashlar::name(dtype));
}

void reduce_in_order(DType dtype, Reduce reduce, std::span<const std::byte* const> terms,
                     std::byte* out, int64_t n) {
  switch (dtype) {
    case DType::kF64:
      return reduce_by<double>(reduce, terms, out, n);
    case DType::kF32:
      return reduce_by<float>(reduce, terms, out, n);
    case DType::kBF16:
      return reduce_by<bf16>(reduce, terms, out, n);
    case DType::kF16:
      return reduce_by<f16>(reduce, terms, out, n);
    case DType::kI64:
      return reduce_by<int64_t>(reduce, terms, out, n);
    case DType::kI32:
      return reduce_by<int32_t>(reduce, terms, out, n);
    default:
      check_reducible(dtype);
  }
}

}  // namespace ashlar::comm
