// Rows of tokens to the ranks that hold their experts, and back: ranks first tell each other how
// many rows they have for each expert, then send just those (FastMoE, He et al. 2021). The shard
// pass writes these ops around the experts' products (passes/exchange_rows.h); on one rank they
// change nothing. Dims: p ranks with E/p experts each, T tokens of a rank, k choices a token, R = k
// T rows of its tokens, X = p min(k, E/p) T rows of its experts at most, C width.
#pragma once

#include "ashlar/graph/ops/collective.h"
#include "ashlar/graph/ops/token_ranks.h"

#include <optional>

namespace ashlar::graph {

// offsets i32 [E+1] of the rows of a rank's tokens -> (counts i32 [p,E], the rows each rank has for
// each expert; offsets i32 [E/p+1] of the rows of this rank's experts).
class MoeCountsOp final : public Op, public Talks {
 public:
  explicit MoeCountsOp(std::optional<GroupLabel> on = {}) : on_(std::move(on)) {}
  std::string_view kind() const override { return "moe_counts"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void traffic(const TrafficCall& call) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::shared_ptr<const Op> local(const LocalSite& site) const override;

 private:
  void count(std::span<const Operand> inputs, std::span<const Operand> outputs,
             comm::Communicator* comm) const;
  std::optional<GroupLabel> on_;
};

// (rows, counts i32 [p,E], sources i32 [R]) -> rows; zeros beyond those that there are. kExperts:
// [R,C], sorted by expert -> [X,C], those of this rank's experts, sorted by expert, then rank; a
// rank's keep their order. kTokens: back, [X,C] -> [R,C].
class MoeExchangeOp final : public Op, public Talks {
 public:
  enum class To : uint8_t { kExperts, kTokens };
  // padded > 0: messages of one size, with room for as many rows for each expert as the capacity of
  // that factor lets it take, whatever it has (GShard, Lepikhin et al. 2020): (p-1)/p E capacity C.
  struct Spec {
    To to = To::kExperts;
    int64_t top_k = 1;
    double padded = 0;
  };
  explicit MoeExchangeOp(Spec spec, std::optional<GroupLabel> on = {},
                         std::optional<TokenRanks> tokens = {})
      : spec_(spec), on_(std::move(on)), tokens_(std::move(tokens)) {}
  std::string_view kind() const override { return "moe_exchange"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  // As if the experts were used evenly, where messages are not padded.
  void traffic(const TrafficCall& call) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::shared_ptr<const Op> local(const LocalSite& site) const override;

 private:
  void exchange(std::span<const Operand> inputs, const Operand& y, comm::Communicator* comm,
                std::byte* memory) const;
  Dim rows_of_experts(const Dim& rows, int64_t experts) const;
  bool to_experts() const { return spec_.to == To::kExperts; }
  int64_t padded_rows(const Operand& counts, const Operand& sources) const;
  int64_t memory_bytes(std::span<const Operand> inputs, const Operand& y) const;
  Spec spec_;
  std::optional<GroupLabel> on_;
  std::optional<TokenRanks> tokens_;
};

}  // namespace ashlar::graph
