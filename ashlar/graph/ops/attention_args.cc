#include "ashlar/graph/ops/attention_args.h"

#include "ashlar/base/philox.h"

#include <fmt/format.h>

#include <algorithm>

namespace ashlar::graph {

std::string spec_text(const AttentionSpec& spec) {
  std::string text =
      fmt::format("heads={} kv_heads={} dim={}", spec.heads, spec.kv_heads, spec.head_dim);
  if (spec.values() != spec.head_dim) text += fmt::format(" values={}", spec.values());
  if (spec.mask.causal) text += " causal";
  if (spec.mask.window > 0) text += fmt::format(" window={}", spec.mask.window);
  if (spec.mask.softcap > 0) text += fmt::format(" softcap={}", spec.mask.softcap);
  if (!spec.slopes.empty()) text += spec.mask.bf16_bias > 0 ? " alibi=bf16" : " alibi";
  if (spec.dropout > 0) text += fmt::format(" dropout={}", spec.dropout);
  return text;
}

double visible_pairs(const kernels::AttentionMask& mask, int64_t queries, int64_t keys) {
  const auto n = static_cast<double>(queries), m = static_cast<double>(keys);
  const auto w = static_cast<double>(mask.window);
  if (!mask.causal && mask.window <= 0) return n * m;
  if (!mask.causal) {  // both sides of each query, its own key once
    kernels::AttentionMask side = mask;
    side.causal = true;
    return visible_pairs(side, queries, keys) + visible_pairs(side, queries, queries) - n;
  }
  if (mask.window <= 0 || m <= w) return n * (m - (n - 1) / 2);
  // Queries at positions m-n .. m-1 each see min(position + 1, w) keys.
  const double short_queries = std::max(0.0, std::min(n, w - (m - n)));
  return short_queries * ((m - n) + (short_queries + 1) / 2) + (n - short_queries) * w;
}

double batch_pairs(const kernels::AttentionMask& mask, const Operand& row_start, int64_t tokens) {
  const int64_t seqs = row_start.shape[0] - 1;
  if (row_start.data == nullptr) {
    const int64_t length = seqs > 0 ? tokens / seqs : 0;
    return static_cast<double>(seqs) * visible_pairs(mask, length, length);
  }
  double pairs = 0;
  for (int64_t s = 0; s < seqs; ++s) {
    const int64_t length = row_start.as<int32_t>()[s + 1] - row_start.as<int32_t>()[s];
    pairs += visible_pairs(mask, length, length);
  }
  return pairs;
}

kernels::AttentionDropout dropout_args(const AttentionSpec& spec, const RunState& state) {
  kernels::AttentionDropout dropout;
  dropout.rate = static_cast<float>(spec.dropout);
  dropout.key = stream_key(state.seed, spec.dropout_path);
  dropout.step = state.step;
  dropout.first_token = state.first_token;
  dropout.first_head = spec.first_head;
  return dropout;
}

kernels::AttentionArgs forward_args(const AttentionSpec& spec, std::span<const Operand> in) {
  auto args = common_args<kernels::AttentionArgs>(spec, in[0]);
  args.seqs = in[3].shape[0] - 1;
  args.row_start = in[3].as<int32_t>();
  args.dtype = in[0].dtype;
  args.q = in[0].data;
  args.k = in[1].data;
  args.v = in[2].data;
  args.k_stride = in[1].shape[1];
  args.v_stride = in[2].shape[1];
  return args;
}

kernels::ref::AttentionArgs forward_args_f64(const AttentionSpec& spec,
                                             std::span<const Operand> in) {
  auto args = common_args<kernels::ref::AttentionArgs>(spec, in[0]);
  args.seqs = in[3].shape[0] - 1;
  args.row_start = in[3].as<int32_t>();
  args.q = in[0].as<double>();
  args.k = in[1].as<double>();
  args.v = in[2].as<double>();
  args.k_stride = in[1].shape[1];
  args.v_stride = in[2].shape[1];
  return args;
}

}  // namespace ashlar::graph
