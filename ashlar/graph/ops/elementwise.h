// Ops that look at one element at a time: add, scale, activation, gated product (SwiGLU), dropout,
// cast.
#pragma once

#include "ashlar/graph/builder.h"
#include "ashlar/graph/context_rows.h"

namespace ashlar::graph {

// y = a + b.
class AddOp : public Op {
 public:
  std::string_view kind() const override { return "add"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, 0, false}, {0, 1, false}}; }
};

// y = factor x.
class ScaleOp : public Op {
 public:
  explicit ScaleOp(double factor) : factor_(factor) {}
  std::string_view kind() const override { return "scale"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, 0, false}}; }

 private:
  double factor_;
};

// y = f(x).
class ActivationOp : public Op {
 public:
  explicit ActivationOp(kernels::Activation activation) : activation_(activation) {}
  kernels::Activation activation() const { return activation_; }
  std::string_view kind() const override { return "activation"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;

 private:
  kernels::Activation activation_;
};

// d_x = d_y f'(x), from (x, d_y).
class ActivationGradOp : public Op {
 public:
  explicit ActivationGradOp(kernels::Activation activation) : activation_(activation) {}
  std::string_view kind() const override { return "activation_grad"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, 1, false}}; }

 private:
  kernels::Activation activation_;
};

// out = f(gate) * up; with silu, the SwiGLU of Shazeer 2020.
class GatedOp : public Op {
 public:
  explicit GatedOp(kernels::Activation activation) : activation_(activation) {}
  kernels::Activation activation() const { return activation_; }
  std::string_view kind() const override { return "gated"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, 0, false}, {0, 1, false}}; }

 private:
  kernels::Activation activation_;
};

// (d_gate, d_up) from (gate, up, d_out).
class GatedGradOp : public Op {
 public:
  explicit GatedGradOp(kernels::Activation activation) : activation_(activation) {}
  std::string_view kind() const override { return "gated_grad"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, 0, false}, {1, 1, false}}; }

 private:
  kernels::Activation activation_;
};

// y = x * mask / (1 - rate); the mask is a function of (seed, step, path, element of the global
// batch), so it is its own gradient and survives splitting and recomputation.
class DropoutOp : public Op {
 public:
  // Which rows of a microbatch x holds, where ranks share them: the context ranks' pieces of each
  // row of tokens, and of those a tensor rank's slice.
  struct Share {
    LocalSite::Cut context, tensor;
    ContextCut cut;
    bool shared() const { return context.parts > 1 || tensor.parts > 1; }
  };
  DropoutOp(double rate, std::string path, const Share& share)
      : rate_(rate), path_(std::move(path)), share_(share) {}
  DropoutOp(double rate, std::string path) : DropoutOp(rate, std::move(path), Share{}) {}
  std::string_view kind() const override { return "dropout"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::shared_ptr<const Op> local(const LocalSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, 0, false}}; }

 private:
  uint64_t key(const RunState& state) const;
  // Calls f with rows of x that follow each other in the microbatch too.
  template <typename F>
  void for_each_run(const RunState& state, int64_t rows, const F& f) const;
  double rate_;
  std::string path_;
  Share share_;
};

// Conversion between float dtypes; the identity in fp64 runs. With `into_variable`, input 1 is the
// shadow Variable that receives the result.
class CastOp : public Op {
 public:
  CastOp(DType to, bool into_variable) : to_(to), into_variable_(into_variable) {}
  std::string_view kind() const override { return "cast"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override;

 private:
  DType to_;
  bool into_variable_;
};

std::string_view name(kernels::Activation activation);

ValueId add(Builder& b, ValueId a, ValueId c, const std::string& name);
// x itself when the factor is 1.
ValueId scale(Builder& b, ValueId x, double factor, const std::string& name);
ValueId activation(Builder& b, ValueId x, kernels::Activation f, const std::string& name);
ValueId gated(Builder& b, ValueId gate, ValueId up, kernels::Activation f, const std::string& name);
// x itself when rate is 0.
ValueId dropout(Builder& b, ValueId x, double rate, const std::string& name);
ValueId cast(Builder& b, ValueId x, DType to, const std::string& name);

}  // namespace ashlar::graph
