// Arguments of the kernels around latent attention (DeepSeek-V2, Liu et al. 2024): keys and values
// of all heads made from one latent a token, and the cache of latents. Shapes: T tokens, H heads, A
// channels of a key that are the head's own, B that all heads share (they carry the position), D
// channels of a value, L width of a latent.
#pragma once

#include "ashlar/tensor/dtype.h"

#include <cstdint>

namespace ashlar::kernels {

// k[t,h,:] = kv[t,h,:A], then shared[t,:]; v[t,h,:] = kv[t,h,A:].
struct LatentKeysArgs {
  int64_t tokens = 0, heads = 0, own = 0, shared = 0, value = 0;
  DType dtype = DType::kF32;         // of all
  const void* kv = nullptr;          // [T,H,A+D]
  const void* shared_key = nullptr;  // [T,B]
  void* k = nullptr;                 // [T,H,A+B]
  void* v = nullptr;                 // [T,H,D]
};
// The gradient, from d_k and d_v: d_shared_key[t,:] is the sum over ascending heads, in f32 from 0,
// rounded once.
struct LatentKeysGradArgs {
  int64_t tokens = 0, heads = 0, own = 0, shared = 0, value = 0;
  DType dtype = DType::kF32;
  const void* d_k = nullptr;     // [T,H,A+B]
  const void* d_v = nullptr;     // [T,H,D]
  void* d_kv = nullptr;          // [T,H,A+D]
  void* d_shared_key = nullptr;  // [T,B]
};

// The cache of one layer has a row for each token: its latent, then the key that all heads share.
struct LatentWriteArgs {
  int64_t tokens = 0, latent = 0, shared = 0;
  DType dtype = DType::kF32;         // of x and shared_key
  const void* x = nullptr;           // [T,L]
  const void* shared_key = nullptr;  // [T,B]
  const int32_t* slots = nullptr;    // [T] block * kCacheBlock + offset
  DType pool_dtype = DType::kF32;    // f32 | bf16 | f16
  void* pool = nullptr;              // [blocks][kCacheBlock][L+B]
};

}  // namespace ashlar::kernels
