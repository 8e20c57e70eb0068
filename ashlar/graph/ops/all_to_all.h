// Between a split of rows and a split of columns (DeepSpeed Ulysses, Jacobs et al. 2023): p context
// ranks, each with its rows of a microbatch, come to hold all rows of 1/p of the columns, a share
// of attention's heads, and go back. Each sends (p-1)/p of what it holds.
#pragma once

#include "ashlar/graph/ops/collective.h"

namespace ashlar::graph {

// kColumns: (x [t,C]) -> [T,C/p], rows in the order of the microbatch, columns [i C/p, (i+1) C/p)
// of rank i. kRows: back, (x [T,C/p]) -> [t,C].
class AllToAllOp final : public Op, public Talks {
 public:
  enum class To : uint8_t { kColumns, kRows };
  // `rows`: what the first dim of the result is bound to.
  AllToAllOp(GroupLabel on, ContextCut cut, To to, Dim rows)
      : on_(std::move(on)), cut_(cut), to_(to), rows_(rows) {}
  std::string_view kind() const override { return "all_to_all"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void traffic(const TrafficCall& call) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;

 private:
  // Elements that go to and come from each rank: of what has the own rows, and the own columns.
  struct Counts {
    std::vector<int64_t> of_mine, of_whole;
  };
  Counts counts(const Operand& whole) const;
  void exchange(comm::Communicator* comm, const Operand& x, const Operand& y,
                std::byte* memory) const;
  GroupLabel on_;
  ContextCut cut_;
  To to_;
  Dim rows_;
};

}  // namespace ashlar::graph
