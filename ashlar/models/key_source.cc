#include "ashlar/models/key_source.h"

#include "ashlar/graph/ops/linear.h"

#include <fmt/format.h>

namespace ashlar::models {

using graph::Builder;
using graph::ValueId;

ValueId BatchKeys::attend(Builder& b, ValueId q, ValueId k, ValueId v,
                          const graph::AttentionSpec& spec) {
  return graph::attention(b, q, k, v, row_start_, spec, "attend");
}

ValueId BatchKeys::attend_latent(Builder& b, const LatentInputs& in,
                                 const graph::LatentSpec& latent,
                                 const graph::AttentionSpec& spec) {
  const ValueId kv = linear(b, in.latent, in.weight, {}, "kv_b");
  const auto [k, v] = latent_keys(b, kv, in.shared_key, latent, "keys");
  return graph::attention(b, in.q, k, v, row_start_, spec, "attend");
}

ValueId PagedKeys::attend_latent(Builder& b, const LatentInputs& in,
                                 const graph::LatentSpec& latent,
                                 const graph::AttentionSpec& spec) {
  const int64_t width = latent.latent + latent.shared;
  const graph::VariableId rows =
      pool(b, "latent", {blocks_, kernels::kCacheBlock, width}, {"block", "slot", "latent"});
  return paged_latent_attention(b, in.q, in.latent, in.shared_key, in.weight, rows, batch_, latent,
                                spec.mask, "attend");
}

ValueId PagedKeys::attend(Builder& b, ValueId q, ValueId k, ValueId v,
                          const graph::AttentionSpec& spec) {
  const int64_t heads = spec.kv_heads, dim = spec.head_dim, block = kernels::kCacheBlock;
  const graph::VariableId keys =
      pool(b, "k", {blocks_, heads, dim, block}, {"block", "kv_heads", "head_dim", "slot"});
  const graph::VariableId values =
      pool(b, "v", {blocks_, heads, block, dim}, {"block", "kv_heads", "slot", "head_dim"});
  return graph::paged_attention(b, q, k, v, keys, values, batch_, spec, "attend");
}

ValueId BatchKeys::rope_rows(Builder& b, ValueId positions, const graph::LongPositionsSpec& spec) {
  return graph::long_positions(b, positions, row_start_, {}, spec, "rope.rows");
}

ValueId PagedKeys::rope_rows(Builder& b, ValueId positions, const graph::LongPositionsSpec& spec) {
  // Of whole sequences, of which this batch may hold a piece.
  const ValueId lengths = b.input("lengths", DType::kI32, {graph::Symbol::kSeqs});
  return graph::long_positions(b, positions, batch_.row_start, lengths, spec, "rope.rows");
}

graph::VariableId PagedKeys::pool(Builder& b, const char* part, Shape shape,
                                  std::vector<std::string> dims) const {
  graph::Variable variable;
  variable.name = fmt::format("layers.{}.kv.{}", b.layer(), part);
  variable.kind = graph::VariableKind::kCache;
  variable.dtype = dtype_;
  variable.shape = shape;
  variable.dims = std::move(dims);
  variable.trainable = false;
  return b.graph().add_variable(std::move(variable));
}

}  // namespace ashlar::models
