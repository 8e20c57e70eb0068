#include "ashlar/graph/ops/loss.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/loss_chunks.h"
#include "ashlar/graph/ops/shape_rules.h"

namespace ashlar::graph {
namespace {

double product_flops(std::span<const Operand> in) {
  return 2.0 * static_cast<double>(in[0].shape.elements()) * static_cast<double>(in[1].shape[0]);
}

void check_bias(std::string_view op, const ValueType& bias, const ValueType& weight) {
  check_type(op, "bias", bias, {DType::kF32, {weight.shape[0]}});
}

void check_head(std::string_view op, std::span<const ValueType> in) {
  check_rank(op, "x", in[0], 2);
  check_rank(op, "weight", in[1], 2);
  ASHLAR_CHECK(in[0].shape[1] == in[1].shape[1], "{}: inner dims differ: x is {}, weight is {}", op,
               in[0].str(), in[1].str());
  check_type(op, "targets", in[2], {DType::kI32, {in[0].shape[0]}});
  check_type(op, "scale", in[3], {DType::kF32, {1}});
}

// " softcap=30 rows 10..20 over tensor of 2"
std::string text_of(const HeadSpec& head, const std::optional<VocabularySlice>& slice) {
  if (head.softcap > 0) {
    return fmt::format(" softcap={}", head.softcap) + text_of({.bias = head.bias}, slice);
  }
  if (!slice) return {};
  return fmt::format(" rows {}..{} over {} of {}", slice->rows.offset, slice->rows.end(),
                     slice->group.name, slice->group.size());
}

}  // namespace

// ---------------------------------------------------------------- loss alone
std::vector<ValueType> LinearCrossEntropyOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, head_.bias ? 5 : 4);
  check_head(kind(), in);
  if (head_.bias) check_bias(kind(), in[4], in[1]);
  return {{DType::kF64, {1}}};
}

void LinearCrossEntropyOp::gradient(GradientContext& context) const {
  using Grad = LinearCrossEntropyGradOp;
  // The loss is what is differentiated: its own gradient is 1.
  const auto inputs = [&](ValueId grad, ValueId bias_grad) {
    std::vector<ValueId> result = {context.input(0), context.input(1), context.input(2),
                                   context.input(3), grad};
    if (head_.bias) result.insert(result.end(), {context.input(4), bias_grad});
    return result;
  };
  if (context.wants(0)) {
    context.set(0, context.apply(std::make_shared<Grad>(Grad::Wants{.input_grad = true}, head_),
                                 inputs({}, {}), "input_grad")[0]);
  }
  if (context.wants(1)) {
    const auto [grad, first] = context.gradient_of_parameter(1);
    const ValueId bias_grad = head_.bias ? context.gradient_of_parameter(4).first : ValueId{};
    context.apply_weight_grad(
        std::make_shared<Grad>(Grad::Wants{.weight_grad = true, .first = first}, head_),
        inputs(grad, bias_grad), "weight_grad");
  }
}

Cost LinearCrossEntropyOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  return {product_flops(in), Op::cost(in, out).bytes};
}

int64_t LinearCrossEntropyOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand>,
                                            const kernels::KernelTable& table, int threads) const {
  return loss_scratch_bytes(in[0], in[1], slice_, table, threads);
}

void LinearCrossEntropyOp::traffic(const TrafficCall& call) const { loss_traffic(call, slice_); }

namespace {

LossHead loss_head(const HeadSpec& head, std::span<const Operand> inputs, size_t bias) {
  return {head.softcap, head.bias ? &inputs[bias] : nullptr};
}

}  // namespace

void LinearCrossEntropyOp::run(const KernelCall& call) const {
  run_loss(call, loss_head(head_, call.inputs, 4), {.loss = call.outputs[0].as<double>()}, slice_);
}

void LinearCrossEntropyOp::reference(const ReferenceCall& call) const {
  reference_loss(call, loss_head(head_, call.inputs, 4), {.loss = call.outputs[0].as<double>()},
                 slice_);
}

std::string LinearCrossEntropyOp::attributes() const {
  const std::string text = text_of(head_, slice_);
  return text.empty() ? text : text.substr(1);
}

// Rows split: each rank a term of the loss. The vocabulary split: all ranks the whole loss.
std::vector<AxisStrategy> LinearCrossEntropyOp::strategies(const AxisSite&) const {
  AxisStrategy tokens{{rows(), whole(), rows(), whole()}, {term()}};
  AxisStrategy vocabulary{{whole(), rows(), whole(), whole()}, {whole()}};
  if (head_.bias) {
    tokens.inputs.push_back(whole());
    vocabulary.inputs.push_back(rows());
  }
  return {tokens, vocabulary};
}

std::shared_ptr<const Op> LinearCrossEntropyOp::local(const LocalSite& site) const {
  auto slice = vocabulary_slice(site, 1);
  return slice ? std::make_shared<LinearCrossEntropyOp>(head_, std::move(slice)) : nullptr;
}

// ---------------------------------------------------------------- loss and gradients
std::string LinearCrossEntropyGradOp::attributes() const {
  std::string text;
  if (wants_.loss) text += " loss";
  if (wants_.input_grad) text += " input_grad";
  if (wants_.weight_grad) text += " weight_grad";
  if (wants_.first) text += " first";
  text += text_of(head_, slice_);
  return text.substr(1);
}

std::vector<ValueType> LinearCrossEntropyGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, head_.bias ? 7 : 5);
  check_head(kind(), in);
  if (head_.bias) check_bias(kind(), in[kBias], in[kWeight]);
  std::vector<ValueType> types;
  if (wants_.loss) types.push_back({DType::kF64, {1}});
  if (wants_.input_grad) types.push_back(in[kX]);
  if (wants_.weight_grad) {
    check_type(kind(), "grad", in[kGrad], {DType::kF32, in[kWeight].shape});
    types.push_back(in[kGrad]);
  }
  if (wants_bias_grad()) {
    check_bias(kind(), in[kBiasGrad], in[kWeight]);
    types.push_back(in[kBiasGrad]);
  }
  return types;
}

std::vector<AxisStrategy> LinearCrossEntropyGradOp::strategies(const AxisSite&) const {
  AxisStrategy tokens{{rows(), whole(), rows(), whole(), term()}, {}};
  AxisStrategy vocabulary{{whole(), rows(), whole(), whole(), rows()}, {}};
  if (head_.bias) {
    tokens.inputs.insert(tokens.inputs.end(), {whole(), term()});
    vocabulary.inputs.insert(vocabulary.inputs.end(), {rows(), rows()});
  }
  const auto output = [&](bool wanted, AxisPlacement of_tokens, AxisPlacement of_vocabulary) {
    if (!wanted) return;
    tokens.outputs.push_back(of_tokens);
    vocabulary.outputs.push_back(of_vocabulary);
  };
  output(wants_.loss, term(), whole());
  output(wants_.input_grad, rows(), term());
  output(wants_.weight_grad, term(), rows());
  output(wants_bias_grad(), term(), rows());
  return {tokens, vocabulary};
}

std::shared_ptr<const Op> LinearCrossEntropyGradOp::local(const LocalSite& site) const {
  auto slice = vocabulary_slice(site, 1);
  return slice ? std::make_shared<LinearCrossEntropyGradOp>(wants_, head_, std::move(slice))
               : nullptr;
}

std::vector<Alias> LinearCrossEntropyGradOp::aliases() const {
  if (!wants_.weight_grad) return {};
  const int grad = static_cast<int>(wants_.loss) + static_cast<int>(wants_.input_grad);
  std::vector<Alias> aliases = {{grad, kGrad, true}};
  if (head_.bias) aliases.push_back({grad + 1, kBiasGrad, true});
  return aliases;
}

Cost LinearCrossEntropyGradOp::cost(std::span<const Operand> in,
                                    std::span<const Operand> out) const {
  // Logits computed again for a half by itself are recomputation and not counted.
  const int products = static_cast<int>(wants_.loss) + static_cast<int>(wants_.input_grad) +
                       static_cast<int>(wants_.weight_grad);
  return {products * product_flops(in), Op::cost(in, out).bytes};
}

int64_t LinearCrossEntropyGradOp::scratch_bytes(std::span<const Operand> in,
                                                std::span<const Operand>,
                                                const kernels::KernelTable& table,
                                                int threads) const {
  return loss_scratch_bytes(in[0], in[1], slice_, table, threads);
}

namespace {

LossOutputs asked_outputs(const LinearCrossEntropyGradOp::Wants& wants, bool bias,
                          std::span<const Operand> outputs, const RunState& state) {
  LossOutputs out;
  size_t next = 0;
  if (wants.loss) out.loss = outputs[next++].as<double>();
  if (wants.input_grad) out.d_x = &outputs[next++];
  if (wants.weight_grad) out.grad = &outputs[next++];
  if (wants.weight_grad && bias) out.bias_grad = &outputs[next++];
  out.overwrite_grad = wants.first && state.first_microbatch;
  return out;
}

}  // namespace

void LinearCrossEntropyGradOp::traffic(const TrafficCall& call) const {
  loss_traffic(call, slice_);
}

void LinearCrossEntropyGradOp::run(const KernelCall& call) const {
  run_loss(call, loss_head(head_, call.inputs, kBias),
           asked_outputs(wants_, head_.bias, call.outputs, call.state), slice_);
}

void LinearCrossEntropyGradOp::reference(const ReferenceCall& call) const {
  reference_loss(call, loss_head(head_, call.inputs, kBias),
                 asked_outputs(wants_, head_.bias, call.outputs, call.state), slice_);
}

ValueId linear_cross_entropy(Builder& b, ValueId x, ValueId weight, ValueId targets, ValueId scale,
                             const std::string& name, ValueId bias, double softcap) {
  const HeadSpec head{bias.valid(), softcap};
  std::vector<ValueId> inputs = {x, weight, targets, scale};
  if (head.bias) inputs.push_back(bias);
  return b.apply1(std::make_shared<LinearCrossEntropyOp>(head), std::move(inputs), name);
}

}  // namespace ashlar::graph
