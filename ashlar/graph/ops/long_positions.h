// Which rows of a rotary table tokens read where long sequences have other rows (LongRoPE, Ding et
// al. 2024).
#pragma once

#include "ashlar/graph/builder.h"

namespace ashlar::graph {

struct LongPositionsSpec {
  int64_t limit = 0;  // tokens of the longest sequence that is not long
  int64_t shift = 0;  // from a position to its row in long sequences
};

// (positions i32 [T], row_start i32 [S+1], lengths i32 [S] or absent) -> rows i32 [T]. A sequence
// is as long as `lengths` says, or its last position.
class LongPositionsOp : public Op {
 public:
  explicit LongPositionsOp(const LongPositionsSpec& spec) : spec_(spec) {}
  const LongPositionsSpec& spec() const { return spec_; }
  std::string_view kind() const override { return "long_positions"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext&) const override {}  // whole numbers
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;

 private:
  LongPositionsSpec spec_;
};

ValueId long_positions(Builder& b, ValueId positions, ValueId row_start, ValueId lengths,
                       const LongPositionsSpec& spec, const std::string& name);

}  // namespace ashlar::graph
