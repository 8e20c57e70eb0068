// Attention in double, forward and backward, over in-batch keys and over the paged cache: the
// oracle of ../attention*.kernel.cc and the engine of fp64 runs. Fields mean what they mean in
// ../args.h.
#pragma once

#include "ashlar/kernels/args.h"

#include <cstdint>

namespace ashlar::kernels::ref {

struct AttentionArgs {
  AttentionMask mask;
  int64_t tokens = 0, seqs = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t value_dim = 0;                       // E; 0: D
  const int32_t* row_start = nullptr;          // [S+1]
  const AttentionSegment* segments = nullptr;  // [S] instead, if set
  const double* q = nullptr;                   // [T,H,D], row stride q_stride
  const double* k = nullptr;                   // [T,K,D]
  const double* v = nullptr;                   // [T,K,E]
  int64_t q_stride = 0, k_stride = 0, v_stride = 0;
  AttentionDropout dropout;
  double* out = nullptr;  // [T,H,E] contiguous
  double* lse = nullptr;  // [T,H]; may be null

  int64_t values() const { return value_dim > 0 ? value_dim : head_dim; }
};
struct AttentionGradArgs {
  AttentionArgs forward;          // as in forward; out and lse are inputs here
  const double* d_out = nullptr;  // [T,H,E]
  double* d_q = nullptr;          // [T,H,D] contiguous
  double* d_k = nullptr;          // [T,K,D] contiguous
  double* d_v = nullptr;          // [T,K,E] contiguous
};
struct KvWriteArgs {
  int64_t tokens = 0, kv_heads = 0, head_dim = 0;
  const double* k = nullptr;  // [T,K,D], row stride k_stride
  const double* v = nullptr;
  int64_t k_stride = 0, v_stride = 0;
  const int32_t* slots = nullptr;  // [T] block * kCacheBlock + offset
  double* k_pool = nullptr;        // [blocks][K][D][kCacheBlock]
  double* v_pool = nullptr;        // [blocks][K][kCacheBlock][D]
};
struct PagedAttentionArgs {
  AttentionMask mask;
  int64_t tokens = 0, seqs = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t value_dim = 0;                 // E; 0: D
  const int32_t* row_start = nullptr;    // [S+1]
  const int32_t* context = nullptr;      // [S]
  const int32_t* block_table = nullptr;  // [S, block_table_stride]
  int64_t block_table_stride = 0;
  const double* q = nullptr;  // [T,H,D], row stride q_stride
  int64_t q_stride = 0;
  const double* k_pool = nullptr;
  const double* v_pool = nullptr;
  double* out = nullptr;  // [T,H,E] contiguous

  int64_t values() const { return value_dim > 0 ? value_dim : head_dim; }
};

// out = softmax(scale * q k^T + mask) v (Vaswani et al. 2017, equation 1), with dropout of what
// softmax gives.
void attention(const AttentionArgs& args);
void attention_grad(const AttentionGradArgs& args);
void kv_write(const KvWriteArgs& args);
void paged_attention(const PagedAttentionArgs& args);

}  // namespace ashlar::kernels::ref
