// An RMS norm in two steps, for ranks that each have some columns of a row: sums over the columns,
// which add up over ranks, and what is left to do with the sums of whole rows. Dims: T rows, C
// columns, of `whole` in all.
#pragma once

#include "ashlar/graph/ops/norm.h"

namespace ashlar::graph {

// (a [T,C], b [T,C], weight f32 [C] or absent) -> f32 [T], the sums of a b (weight + offset), the
// offset being 1 where the norm is zero-centred. Of columns: a term of the sum.
class RowDotOp : public Op {
 public:
  enum Input { kA, kB, kWeight, kInputs };
  explicit RowDotOp(bool zero_centred = false) : zero_centred_(zero_centred) {}
  std::string_view kind() const override { return "row_dot"; }
  std::string attributes() const override { return zero_centred_ ? "zero_centred" : ""; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;

 private:
  bool zero_centred_;
};

// (x [T,C], weight f32 [C], squares f32 [T], sums of x^2 over whole rows) -> (y [T,C], rstd f32
// [T]).
class SummedNormOp : public Op {
 public:
  enum Input { kX, kWeight, kSquares, kInputs };
  SummedNormOp(const NormSpec& spec, int64_t whole) : spec_(spec), whole_(whole) {}
  std::string_view kind() const override { return "summed_rms_norm"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;

 private:
  NormSpec spec_;
  int64_t whole_;
};

// (x, weight, rstd, d_y, products f32 [T], sums of d_y w x over whole rows) -> d_x.
class SummedNormGradOp : public Op {
 public:
  enum Input { kX, kWeight, kRstd, kDy, kProducts, kInputs };
  SummedNormGradOp(const NormSpec& spec, int64_t whole) : spec_(spec), whole_(whole) {}
  std::string_view kind() const override { return "summed_norm_grad"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, kDy, false}}; }

 private:
  NormSpec spec_;
  int64_t whole_;
};

}  // namespace ashlar::graph
