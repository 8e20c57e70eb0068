// The door to compute: one full table of kernels per ISA tier, chosen once at start. Every entry of
// every tier is set. Kernels work on raw pointers, never allocate, throw or log; shapes have been
// checked by the ops. `Team` brings threads and scratch.
#pragma once

#include "ashlar/base/isa_tier.h"
#include "ashlar/kernels/args.h"
#include "ashlar/kernels/gated_mlp_args.h"
#include "ashlar/kernels/latent_args.h"
#include "ashlar/kernels/moe_args.h"
#include "ashlar/kernels/parallel.h"

namespace ashlar::kernels {

struct KernelTable {
  IsaTier tier;

  // Weights are packed once for serving; packing inside gemm uses the same layout.
  int64_t (*packed_b_bytes)(DType dtype, int64_t r, int64_t n);
  // Packs columns [n_begin, n_end) of B[R,N]; n_begin is a multiple of packed_columns().
  void (*pack_b)(const MatrixView& b, int64_t r, int64_t n, int64_t n_begin, int64_t n_end,
                 DType packed_dtype, void* packed);
  int64_t (*packed_columns)(DType dtype);
  int64_t (*gemm_scratch)(const GemmArgs& args, int threads);
  void (*gemm)(const GemmArgs& args, const Team& team);
  // Up to kMostProducts products of one A (the same a, m, r and norm), each as gemm computes it,
  // whose B are packed and multiplies() their formats.
  int64_t (*gemm_group_scratch)(const GemmArgs* products, int count, int threads);
  void (*gemm_group)(const GemmArgs* products, int count, const Team& team);
  int64_t (*gated_mlp_scratch)(const GatedMlpArgs& args, int threads);
  void (*gated_mlp)(const GatedMlpArgs& args, const Team& team);

  int64_t (*attention_scratch)(const AttentionArgs& args, int threads);
  void (*attention)(const AttentionArgs& args, const Team& team);
  int64_t (*attention_grad_scratch)(const AttentionGradArgs& args, int threads);
  void (*attention_grad)(const AttentionGradArgs& args, const Team& team);
  void (*kv_write)(const KvWriteArgs& args, const Team& team);
  int64_t (*paged_attention_scratch)(const PagedAttentionArgs& args, int threads);
  void (*paged_attention)(const PagedAttentionArgs& args, const Team& team);

  void (*latent_keys)(const LatentKeysArgs& args, const Team& team);
  void (*latent_keys_grad)(const LatentKeysGradArgs& args, const Team& team);
  void (*latent_write)(const LatentWriteArgs& args, const Team& team);

  void (*rms_norm)(const NormArgs& args, const Team& team);
  void (*layer_norm)(const NormArgs& args, const Team& team);
  void (*norm_grad)(const NormGradArgs& args, const Team& team);
  void (*norm_weight_grad)(const NormWeightGradArgs& args, const Team& team);
  void (*row_dot)(const RowDotArgs& args, const Team& team);
  void (*column_sum)(const ColumnSumArgs& args, const Team& team);
  void (*rope)(const RopeArgs& args, const Team& team);

  void (*activation)(const ActivationArgs& args, const Team& team);
  void (*activation_grad)(const ActivationGradArgs& args, const Team& team);
  void (*gated)(const GatedArgs& args, const Team& team);
  void (*gated_grad)(const GatedGradArgs& args, const Team& team);
  void (*add)(const AddArgs& args, const Team& team);
  void (*add_term)(const AddTermArgs& args, const Team& team);
  void (*scale)(const ScaleArgs& args, const Team& team);
  void (*softcap)(const SoftcapArgs& args, const Team& team);
  void (*softcap_grad)(const SoftcapGradArgs& args, const Team& team);
  void (*cast)(const CastArgs& args, const Team& team);
  void (*dropout)(const DropoutArgs& args, const Team& team);

  void (*gather_rows)(const GatherRowsArgs& args, const Team& team);
  void (*scatter_add_rows)(const ScatterAddRowsArgs& args, const Team& team);
  void (*cross_entropy)(const CrossEntropyArgs& args, const Team& team);
  // The three steps over slices of the vocabulary.
  void (*softmax_slice)(const CrossEntropySliceArgs& args, const Team& team);
  void (*rescale_slice)(const CrossEntropySliceArgs& args, const Team& team);
  void (*cross_entropy_slice)(const CrossEntropySliceArgs& args, const Team& team);

  void (*moe_route)(const MoeRouteArgs& args, const Team& team);
  void (*moe_route_grad)(const MoeRouteGradArgs& args, const Team& team);
  void (*moe_load)(const MoeLoadArgs& args, const Team& team);
  void (*moe_load_grad)(const MoeLoadGradArgs& args, const Team& team);
  void (*moe_dispatch)(const MoeDispatchArgs& args, const Team& team);
  void (*moe_combine)(const MoeCombineArgs& args, const Team& team);
  void (*moe_weight_grad)(const MoeWeightGradArgs& args, const Team& team);
  void (*row_gate)(const RowGateArgs& args, const Team& team);
  void (*row_gate_grad)(const RowGateGradArgs& args, const Team& team);

  void (*adamw)(const AdamWArgs& args, const Team& team);
  int64_t (*sum_squares_scratch)(int64_t elements);
  void (*sum_squares)(const SumSquaresArgs& args, const Team& team);
};

// The table of a tier. Throws UsageError when the processor cannot run it (naming those it can).
const KernelTable& kernel_table(IsaTier tier);

}  // namespace ashlar::kernels
