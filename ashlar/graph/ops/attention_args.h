// What the attention ops share: their fields as text and as arguments of kernels and references.
#pragma once

#include "ashlar/graph/ops/attention.h"
#include "ashlar/kernels/ref/attention.h"

#include <span>
#include <string>

namespace ashlar::graph {

std::string spec_text(const AttentionSpec& spec);

// Of keys and values over all heads: what a pair costs in multiply-adds.
inline double both_widths(const AttentionSpec& spec) {
  return static_cast<double>(spec.heads * (spec.head_dim + spec.values()));
}

// Query-key pairs that are not masked, of n queries ending at position `keys`.
double visible_pairs(const kernels::AttentionMask& mask, int64_t queries, int64_t keys);
// Pairs of a batch: exact when row_start is bound, else for sequences of equal length.
double batch_pairs(const kernels::AttentionMask& mask, const Operand& row_start, int64_t tokens);

kernels::AttentionDropout dropout_args(const AttentionSpec& spec, const RunState& state);

// Fields shared by the kernel's arguments and the reference's.
template <typename Args>
Args common_args(const AttentionSpec& spec, const Operand& q) {
  Args args;
  args.mask = spec.mask;
  args.mask.slopes = spec.slopes.empty() ? nullptr : spec.slopes.data() + spec.first_head;
  args.tokens = q.shape[0];
  args.heads = spec.heads;
  args.kv_heads = spec.kv_heads;
  args.head_dim = spec.head_dim;
  args.value_dim = spec.values();
  args.q_stride = q.shape[1];
  return args;
}

// From (q, k, v, row_start), without dropout and outputs.
kernels::AttentionArgs forward_args(const AttentionSpec& spec, std::span<const Operand> in);
kernels::ref::AttentionArgs forward_args_f64(const AttentionSpec& spec,
                                             std::span<const Operand> in);

}  // namespace ashlar::graph
