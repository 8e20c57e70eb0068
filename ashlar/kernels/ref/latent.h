// Keys and values from latents and the cache of latents in double: the oracle of
// ../latent.kernel.cc, and the engine of fp64 runs. Fields mean what they mean in ../latent_args.h.
#pragma once

#include <cstdint>

namespace ashlar::kernels::ref {

struct LatentKeysArgs {
  int64_t tokens = 0, heads = 0, own = 0, shared = 0, value = 0;
  const double* kv = nullptr;          // [T,H,A+D]
  const double* shared_key = nullptr;  // [T,B]
  double* k = nullptr;                 // [T,H,A+B]
  double* v = nullptr;                 // [T,H,D]
};
struct LatentKeysGradArgs {
  int64_t tokens = 0, heads = 0, own = 0, shared = 0, value = 0;
  const double* d_k = nullptr;     // [T,H,A+B]
  const double* d_v = nullptr;     // [T,H,D]
  double* d_kv = nullptr;          // [T,H,A+D]
  double* d_shared_key = nullptr;  // [T,B]
};
struct LatentWriteArgs {
  int64_t tokens = 0, latent = 0, shared = 0;
  const double* x = nullptr;           // [T,L]
  const double* shared_key = nullptr;  // [T,B]
  const int32_t* slots = nullptr;
  double* pool = nullptr;  // [blocks][kCacheBlock][L+B]
};

void latent_keys(const LatentKeysArgs& args);
void latent_keys_grad(const LatentKeysGradArgs& args);
void latent_write(const LatentWriteArgs& args);

}  // namespace ashlar::kernels::ref
