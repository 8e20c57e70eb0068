// Muon (Jordan et al. 2024): momentum whose matrix is made orthogonal before it is applied, so that
// every direction of a weight moves alike. Newton-Schulz iteration with the published coefficients;
// the step is scaled by 0.2 sqrt(max(rows, cols)) so that its RMS is AdamW's and one learning rate
// serves both (Liu et al. 2025, "Muon is scalable for LLM training", eq. 4).
#pragma once

#include "ashlar/graph/builder.h"
#include "ashlar/graph/ops/collective.h"

#include <optional>

namespace ashlar::graph {

struct MuonSpec {
  double momentum = 0.95, weight_decay = 0.1;
};

// (param [R,C], grad, momentum, lr f32 [1], scale f32 [1]) -> (param, momentum). Where ranks share
// a matrix's rows or columns, each has its part of all three; the momentum is gathered, each makes
// the whole orthogonal and applies its part.
class MuonOp : public Op, public Talks {
 public:
  enum Input { kParam, kGrad, kMomentum, kLr, kScale, kInputs };
  explicit MuonOp(MuonSpec spec) : spec_(spec) {}

  std::string_view kind() const override { return "muon"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  OpPtr local(const LocalSite& site) const override;
  void traffic(const TrafficCall& call) const override;

 private:
  // How ranks share the matrix.
  struct Share {
    GroupLabel on;
    int dim = 0;
    int64_t whole = 0;  // rows or columns
    Slice part;
  };
  Shape whole(const Shape& part) const;
  // Elements that each rank of the group has.
  std::vector<int64_t> counts(const Shape& part) const;
  // The whole matrix from the parts of all ranks; parts: room for them.
  template <typename T>
  void gather(comm::Communicator* comm, const T* own, const Shape& part, T* parts, T* all) const;

  MuonSpec spec_;
  std::optional<Share> share_;
};

}  // namespace ashlar::graph
