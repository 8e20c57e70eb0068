#include "ashlar/kernels/ref/latent.h"

#include <algorithm>

namespace ashlar::kernels::ref {

void latent_keys(const LatentKeysArgs& args) {
  for (int64_t row = 0; row < args.tokens * args.heads; ++row) {
    const double* kv = args.kv + row * (args.own + args.value);
    double* k = args.k + row * (args.own + args.shared);
    std::copy_n(kv, args.own, k);
    std::copy_n(args.shared_key + row / args.heads * args.shared, args.shared, k + args.own);
    std::copy_n(kv + args.own, args.value, args.v + row * args.value);
  }
}

void latent_keys_grad(const LatentKeysGradArgs& args) {
  std::fill_n(args.d_shared_key, args.tokens * args.shared, 0.0);
  for (int64_t row = 0; row < args.tokens * args.heads; ++row) {
    const double* d_k = args.d_k + row * (args.own + args.shared);
    double* d_kv = args.d_kv + row * (args.own + args.value);
    std::copy_n(d_k, args.own, d_kv);
    std::copy_n(args.d_v + row * args.value, args.value, d_kv + args.own);
    double* d_shared = args.d_shared_key + row / args.heads * args.shared;
    for (int64_t i = 0; i < args.shared; ++i) d_shared[i] += d_k[args.own + i];
  }
}

void latent_write(const LatentWriteArgs& args) {
  for (int64_t t = 0; t < args.tokens; ++t) {
    double* row = args.pool + args.slots[t] * (args.latent + args.shared);
    std::copy_n(args.x + t * args.latent, args.latent, row);
    std::copy_n(args.shared_key + t * args.shared, args.shared, row + args.latent);
  }
}

}  // namespace ashlar::kernels::ref
