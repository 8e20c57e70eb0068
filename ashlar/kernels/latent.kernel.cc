// Keys and values of heads from latents, and the cache of latents: rows are moved, and summed over
// heads in the backward pass.
#include "ashlar/kernels/rows_parallel.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

template <typename From, typename To>
ASHLAR_INLINE void copy_row(const From* from, int64_t width, To* to) {
  for_each_vec(width, [&](int64_t i, auto count) { store(to + i, load(from + i, count), count); });
}

void latent_keys(const LatentKeysArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    using T = decltype(element);
    const int64_t A = args.own, B = args.shared, D = args.value, H = args.heads;
    parallel_rows(team, args.tokens, H * (A + B + D), [&](int64_t t) {
      const T* shared = static_cast<const T*>(args.shared_key) + t * B;
      for (int64_t row = t * H; row < (t + 1) * H; ++row) {
        const T* kv = static_cast<const T*>(args.kv) + row * (A + D);
        T* k = static_cast<T*>(args.k) + row * (A + B);
        copy_row(kv, A, k);
        copy_row(shared, B, k + A);
        copy_row(kv + A, D, static_cast<T*>(args.v) + row * D);
      }
    });
  });
}

void latent_keys_grad(const LatentKeysGradArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    using T = decltype(element);
    const int64_t A = args.own, B = args.shared, D = args.value, H = args.heads;
    parallel_rows(team, args.tokens, H * (A + B + D), [&](int64_t t) {
      const T* d_k = static_cast<const T*>(args.d_k) + t * H * (A + B);
      const T* d_v = static_cast<const T*>(args.d_v) + t * H * D;
      T* d_kv = static_cast<T*>(args.d_kv) + t * H * (A + D);
      for (int64_t h = 0; h < H; ++h) {
        copy_row(d_k + h * (A + B), A, d_kv + h * (A + D));
        copy_row(d_v + h * D, D, d_kv + h * (A + D) + A);
      }
      T* d_shared = static_cast<T*>(args.d_shared_key) + t * B;
      for_each_vec(B, [&](int64_t i, auto count) {
        Vec sum = zero();
        for (int64_t h = 0; h < H; ++h) sum = sum + load(d_k + h * (A + B) + A + i, count);
        store(d_shared + i, sum, count);
      });
    });
  });
}

void latent_write(const LatentWriteArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto from) {
    with_element(args.pool_dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      const int64_t L = args.latent, B = args.shared;
      parallel_rows(team, args.tokens, L + B, [&](int64_t t) {
        To* row = static_cast<To*>(args.pool) + args.slots[t] * (L + B);
        copy_row(static_cast<const From*>(args.x) + t * L, L, row);
        copy_row(static_cast<const From*>(args.shared_key) + t * B, B, row + L);
      });
    });
  });
}

}  // namespace

void fill_latent(KernelTable& table) {
  table.latent_keys = latent_keys;
  table.latent_keys_grad = latent_keys_grad;
  table.latent_write = latent_write;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
