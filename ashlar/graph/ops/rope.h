// Rotary positions (Su et al. 2021). Every scaling of the frequencies lives in the table, a
// constant the model computes from its config.
#pragma once

#include "ashlar/graph/builder.h"

namespace ashlar::graph {

struct RopeSpec {
  int64_t heads = 0, head_dim = 0;
  int64_t rotary_dim = 0;    // channels of a head that rotate; even
  bool interleaved = false;  // pairs (2i, 2i+1) instead of (i, i + rotary_dim/2)
  int64_t rotary_begin = 0;  // the first of them
};

// (x [T, heads*head_dim], positions i32 [T], table f32 [P, rotary_dim]) -> y like x.
class RopeOp : public Op {
 public:
  RopeOp(RopeSpec spec, bool inverse) : spec_(spec), inverse_(inverse) {}
  std::string_view kind() const override { return inverse_ ? "rope_inverse" : "rope"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override { return {{0, 0, false}}; }
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  OpPtr local(const LocalSite& site) const override;

 private:
  RopeSpec spec_;
  bool inverse_;
};

ValueId rope(Builder& b, ValueId x, ValueId positions, ValueId table, const RopeSpec& spec,
             const std::string& name);

}  // namespace ashlar::graph
