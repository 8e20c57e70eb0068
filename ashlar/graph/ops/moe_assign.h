// Which row each (token, choice) gets when rows are sorted by expert, and, with a capacity or a
// random second choice (training only), which pairs are dropped. Dims: T tokens, E experts, k
// choices a token. A pair t k + c is choice c of token t.
#pragma once

#include "ashlar/graph/builder.h"
#include "ashlar/graph/ops/token_ranks.h"
#include "ashlar/graph/traffic.h"

#include <optional>

namespace ashlar::graph {

struct AssignSpec {
  int64_t experts = 0;
  // > 0: an expert takes ceil(k T / E capacity) pairs at most, all first choices before any second,
  // each in the order of tokens. 0: dropless. T and the order are those of the microbatch of all
  // ranks together, so what is dropped depends on no layout.
  double capacity = 0;
  // The second choice is kept with probability min(1, 2 weight) (GShard, Lepikhin et al. 2020); the
  // draw is a function of (seed, step, path, token of the global batch).
  bool random_second = false;
  // Expert ranks exchange rows in messages of one size, that of the capacity.
  bool padded = false;
};

// (experts i32 [T,k], weights f32 [T,k]) -> (slots i32 [T,k]: a pair's row, -1 where dropped;
// sources i32 [T k]: a row's pair, -1 where it has none; offsets i32 [E+1]: expert e owns rows
// offsets[e] .. offsets[e+1], in the order of their tokens).
class MoeAssignOp : public Op, public Talks {
 public:
  MoeAssignOp(AssignSpec spec, std::string path, std::optional<TokenRanks> ranks = {})
      : spec_(spec), path_(std::move(path)), ranks_(std::move(ranks)) {}
  const AssignSpec& spec() const { return spec_; }
  std::string_view kind() const override { return "moe_assign"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void traffic(const TrafficCall& call) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::shared_ptr<const Op> local(const LocalSite& site) const override;

 private:
  template <typename Number>
  void assign(std::span<const Operand> inputs, std::span<const Operand> outputs,
              const RunState& state, comm::Communicator* comm) const;
  AssignSpec spec_;
  std::string path_;
  std::optional<TokenRanks> ranks_;
};

struct Assignment {
  ValueId slots, sources, offsets;
};
Assignment moe_assign(Builder& b, ValueId experts, ValueId weights, const AssignSpec& spec,
                      const std::string& name);

}  // namespace ashlar::graph
