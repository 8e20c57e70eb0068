// A gradient that is kept in 16 bits: each microbatch's term is made in f32 and rounded once, as it
// is added.
#pragma once

#include "ashlar/graph/op.h"

namespace ashlar::graph {

// (term f32, grad) -> grad plus the term, or the term alone in the first microbatch of a step where
// `first`; rounded to grad's dtype.
class AddTermOp : public Op {
 public:
  explicit AddTermOp(bool first) : first_(first) {}
  std::string_view kind() const override { return "add_term"; }
  std::string attributes() const override { return first_ ? "first" : ""; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override { return {{0, 1, true}}; }

 private:
  bool first_;
};

}  // namespace ashlar::graph
