// Attention: over the batch's own keys (training, packed documents) and over the paged key-value
// cache (serving). The batch is sequences laid end to end; documents kept apart are simply
// sequences. Dims: T tokens, S sequences, H query heads, K key-value heads, D head dim, E that of
// values, which may differ in training.
#pragma once

#include "ashlar/graph/builder.h"

namespace ashlar::graph {

struct AttentionSpec {
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  kernels::AttentionMask mask;
  double dropout = 0;              // share of the probabilities that training drops
  std::string dropout_path = {};   // the mask's key, beside the seed; attention() sets it
  int64_t first_head = 0;          // of the model's, where ranks share the heads
  std::vector<float> slopes = {};  // ALiBi's, of all the model's heads; none: no ALiBi
  int64_t value_dim = 0;           // 0: head_dim
  int64_t values() const { return value_dim > 0 ? value_dim : head_dim; }
};

// (q [T,H*D], k [T,K*D], v [T,K*E], row_start i32 [S+1]) -> (out [T,H*E], lse f32 [T,H]). Dropout
// keeps no mask: gradient and recomputation draw it again.
class AttentionOp : public Op {
 public:
  explicit AttentionOp(AttentionSpec spec) : spec_(std::move(spec)) {}
  std::string_view kind() const override { return "attention"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  OpPtr local(const LocalSite& site) const override;

 protected:
  const AttentionSpec& spec() const { return spec_; }
  virtual OpPtr gradient_op() const;

 private:
  AttentionSpec spec_;
};

// (q, k, v, row_start, out, lse, d_out) -> (d_q, d_k, d_v).
class AttentionGradOp : public Op {
 public:
  explicit AttentionGradOp(AttentionSpec spec) : spec_(std::move(spec)) {}
  std::string_view kind() const override { return "attention_grad"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  OpPtr local(const LocalSite& site) const override;

 protected:
  const AttentionSpec& spec() const { return spec_; }

 private:
  AttentionSpec spec_;
};

// Writes new keys and values into the cache: (k [T,K*D], v [T,K*D], slots i32 [T], k_pool
// [blocks,K,D,16], v_pool [blocks,K,16,D]) -> (k_pool, v_pool).
class KvWriteOp : public Op {
 public:
  std::string_view kind() const override { return "kv_write"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override { return {{0, 3, true}, {1, 4, true}}; }
};

// (q [T,H*D], k_pool, v_pool, row_start i32 [S+1], context i32 [S], block_table i32 [S,blocks])
// -> out [T,H*D]. context counts a sequence's keys, its new rows included. Without v_pool, k_pool
// is [blocks,16,D], rows of one key-value head that begin with their values: out is [T,H*E]
// (latent_attention.h).
class PagedAttentionOp : public Op {
 public:
  explicit PagedAttentionOp(AttentionSpec spec) : spec_(std::move(spec)) {}
  std::string_view kind() const override { return "paged_attention"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;

 private:
  AttentionSpec spec_;
};

ValueId attention(Builder& b, ValueId q, ValueId k, ValueId v, ValueId row_start,
                  AttentionSpec spec, const std::string& name);

struct PagedBatch {  // per-run inputs that describe where the batch's keys live
  ValueId row_start, context, block_table, slots;
};
// Writes k and v into the pools, then attends over them.
ValueId paged_attention(Builder& b, ValueId q, ValueId k, ValueId v, VariableId k_pool,
                        VariableId v_pool, const PagedBatch& batch, const AttentionSpec& spec,
                        const std::string& name);

}  // namespace ashlar::graph
