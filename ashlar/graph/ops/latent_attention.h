// What multi-head latent attention adds to attention (MLA: DeepSeek-V2, Liu et al. 2024, section
// 2.1): keys and values of all heads come from one latent a token, by one matrix W; beside its own
// channels every key ends in channels that all heads share, which carry the position. Dims: T
// tokens, H heads, A own channels of a key, B shared ones, D channels of a value, L of a latent.
// W is [H*(A+D), L]: of each head the rows that make its keys, then those that make its values.
//
// Training and evaluation expand: kv = W latent, latent_keys, attention. Serving caches latent and
// shared key alone, and lets queries and results pass through W instead (the same products in
// another order): absorb_query, attention over the cache as one head for all, expand_output.
#pragma once

#include "ashlar/graph/ops/attention.h"

namespace ashlar::graph {

struct LatentSpec {
  int64_t heads = 0;
  int64_t own = 0, shared = 0, value = 0;  // A, B, D
  int64_t latent = 0;                      // L
  int64_t key() const { return own + shared; }
};

// (kv [T,H*(A+D)], shared key [T,B]) -> (k [T,H*(A+B)], v [T,H*D]).
class LatentKeysOp : public Op {
 public:
  explicit LatentKeysOp(LatentSpec spec) : spec_(spec) {}
  std::string_view kind() const override { return "latent_keys"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  OpPtr local(const LocalSite& site) const override;

 private:
  LatentSpec spec_;
};

// (d_k, d_v) -> (d_kv, d_shared key).
class LatentKeysGradOp : public Op {
 public:
  explicit LatentKeysGradOp(LatentSpec spec) : spec_(spec) {}
  std::string_view kind() const override { return "latent_keys_grad"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  OpPtr local(const LocalSite& site) const override;

 private:
  LatentSpec spec_;
};

// (q [T,H*(A+B)], W) -> [T,H*(L+B)]: each head's own channels through the rows of W that make its
// keys, then the others as they are. Its product with a row of the cache is that of q with the key.
class AbsorbQueryOp : public Op {
 public:
  explicit AbsorbQueryOp(LatentSpec spec) : spec_(spec) {}
  std::string_view kind() const override { return "absorb_query"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;

 private:
  LatentSpec spec_;
};

// (mixed latents [T,H*L], W) -> values [T,H*D], each head's by the rows of W that make its values.
class ExpandOutputOp : public Op {
 public:
  explicit ExpandOutputOp(LatentSpec spec) : spec_(spec) {}
  std::string_view kind() const override { return "expand_output"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;

 private:
  LatentSpec spec_;
};

// (latent [T,L], shared key [T,B], slots i32 [T], pool [blocks,16,L+B]) -> pool.
class LatentWriteOp : public Op {
 public:
  std::string_view kind() const override { return "latent_write"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override { return {{0, 3, true}}; }
};

struct LatentKeysValues {
  ValueId k, v;
};
LatentKeysValues latent_keys(Builder& b, ValueId kv, ValueId shared_key, const LatentSpec& spec,
                             const std::string& name);

// Writes latent and shared key into the pool, then attends over it: q [T,H*(A+B)] -> [T,H*D].
// weight: W. The mask's scale is that of the expanded form.
ValueId paged_latent_attention(Builder& b, ValueId q, ValueId latent, ValueId shared_key,
                               ValueId weight, VariableId pool, const PagedBatch& batch,
                               const LatentSpec& spec, const kernels::AttentionMask& mask,
                               const std::string& name);

}  // namespace ashlar::graph
