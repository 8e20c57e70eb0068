// Attention over sequences whose rows the ranks of an axis share (Ring Attention, Liu et al. 2023):
// queries stay, keys and values go round, and the block at hand is worked on while the next one
// comes. Of p ranks each sends its block and p - 2 of others on: p - 1 hops. In backward the sums
// of d_k and d_v, f32, start behind their owner and reach him after p - 1 hops as well.
#pragma once

#include "ashlar/graph/ops/attention.h"
#include "ashlar/graph/ops/collective.h"

namespace ashlar::graph {

struct ContextRing {
  GroupLabel on;
  ContextCut cut;
};

// (q [t,H*D], k [t,K*D], v [t,K*D], row_start i32 [S+1] of the whole microbatch)
// -> (out [t,H*D], lse f32 [t,H]), t being this rank's rows.
class RingAttentionOp final : public AttentionOp, public Talks {
 public:
  RingAttentionOp(AttentionSpec spec, ContextRing ring)
      : AttentionOp(std::move(spec)), ring_(std::move(ring)) {}
  std::string_view kind() const override { return "ring_attention"; }
  std::string attributes() const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void traffic(const TrafficCall& call) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite&) const override { return {}; }
  OpPtr local(const LocalSite&) const override { return nullptr; }

 private:
  OpPtr gradient_op() const override;
  ContextRing ring_;
};

// (q, k, v, row_start, out, lse, d_out) -> (d_q, d_k, d_v), of this rank's rows.
class RingAttentionGradOp final : public AttentionGradOp, public Talks {
 public:
  RingAttentionGradOp(AttentionSpec spec, ContextRing ring)
      : AttentionGradOp(std::move(spec)), ring_(std::move(ring)) {}
  std::string_view kind() const override { return "ring_attention_grad"; }
  std::string attributes() const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void traffic(const TrafficCall& call) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite&) const override { return {}; }
  OpPtr local(const LocalSite&) const override { return nullptr; }

 private:
  ContextRing ring_;
};

}  // namespace ashlar::graph
