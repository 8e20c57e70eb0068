// Rows by index: embedding look-up and its gradient, and the choice of rows that need logits.
#pragma once

#include "ashlar/graph/builder.h"

namespace ashlar::graph {

// (table [V,C], ids i32 [T], addend [T,C] or absent) -> y [T,C] of dtype `out`: y[t] =
// table[ids[t]] (+ addend[t]). With first_row below 0, id 0 names row -first_row. Ids are checked
// against V by whoever binds them. Where the table is cut by rows (a vocabulary-parallel embedding;
// Shoeybi et al. 2019), this rank's begin with `first_row`, an id outside them gives a row of
// zeros, and y is a term of the sum over the ranks.
class GatherRowsOp : public Op {
 public:
  explicit GatherRowsOp(DType out, int64_t first_row = 0) : out_(out), first_row_(first_row) {}
  int64_t first_row() const { return first_row_; }
  std::string_view kind() const override { return "gather_rows"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override { return {{0, 2, false}}; }
  bool optional_input(int input) const override { return input == 2; }
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::shared_ptr<const Op> local(const LocalSite& site) const override;

 private:
  void run_blocks(const KernelCall& call) const;

  DType out_;
  int64_t first_row_;
};

// (ids i32 [T], d_y [T,C], grad f32 [V,C]) -> grad, with grad[ids[t]] += d_y[t]. Ids outside this
// rank's rows are skipped.
class ScatterAddRowsOp : public Op {
 public:
  explicit ScatterAddRowsOp(bool first, int64_t first_row = 0)
      : first_(first), first_row_(first_row) {}
  std::string_view kind() const override { return "scatter_add_rows"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override { return {{0, 2, true}}; }
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::shared_ptr<const Op> local(const LocalSite& site) const override;

 private:
  bool first_;
  int64_t first_row_;
};

ValueId gather_rows(Builder& b, ValueId table, ValueId ids, ValueId addend, DType out,
                    const std::string& name, int64_t first_row = 0);

}  // namespace ashlar::graph
