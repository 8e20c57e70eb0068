// Rows by index: embedding look-up and its gradient, and the choice of rows that need logits.
#pragma once

#include "ashlar/graph/builder.h"

namespace ashlar::graph {

// (table [V,C], ids i32 [T], addend [T,C] or absent) -> y [T,C] of dtype `out`: y[t] =
// table[ids[t]]
// (+ addend[t]). Ids are checked against V by whoever binds them.
class GatherRowsOp : public Op {
 public:
  explicit GatherRowsOp(DType out) : out_(out) {}
  std::string_view kind() const override { return "gather_rows"; }
  std::string attributes() const override { return std::string(ashlar::name(out_)); }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override { return {{0, 2, false}}; }

 private:
  DType out_;
};

// (ids i32 [T], d_y [T,C], grad f32 [V,C]) -> grad, with grad[ids[t]] += d_y[t].
class ScatterAddRowsOp : public Op {
 public:
  explicit ScatterAddRowsOp(bool first) : first_(first) {}
  std::string_view kind() const override { return "scatter_add_rows"; }
  std::string attributes() const override { return first_ ? "first" : ""; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override { return {{0, 2, true}}; }

 private:
  bool first_;
};

ValueId gather_rows(Builder& b, ValueId table, ValueId ids, ValueId addend, DType out,
                    const std::string& name);

}  // namespace ashlar::graph
