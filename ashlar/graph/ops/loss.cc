#include "ashlar/graph/ops/loss.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/loss_chunks.h"
#include "ashlar/graph/ops/shape_rules.h"

namespace ashlar::graph {
namespace {

double product_flops(std::span<const Operand> in) {
  return 2.0 * static_cast<double>(in[0].shape.elements()) * static_cast<double>(in[1].shape[0]);
}

void check_head(std::string_view op, std::span<const ValueType> in) {
  check_rank(op, "x", in[0], 2);
  check_rank(op, "weight", in[1], 2);
  ASHLAR_CHECK(in[0].shape[1] == in[1].shape[1], "{}: inner dims differ: x is {}, weight is {}", op,
               in[0].str(), in[1].str());
  check_type(op, "targets", in[2], {DType::kI32, {in[0].shape[0]}});
  check_type(op, "scale", in[3], {DType::kF32, {1}});
}

// " rows 10..20 over tensor of 2"
std::string text_of(const std::optional<VocabularySlice>& slice) {
  if (!slice) return {};
  return fmt::format(" rows {}..{} over {} of {}", slice->rows.offset, slice->rows.end(),
                     slice->group.name, slice->group.size());
}

}  // namespace

// ---------------------------------------------------------------- loss alone
std::vector<ValueType> LinearCrossEntropyOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 4);
  check_head(kind(), in);
  return {{DType::kF64, {1}}};
}

void LinearCrossEntropyOp::gradient(GradientContext& context) const {
  // The loss is what is differentiated: its own gradient is 1.
  const std::vector<ValueId> head = {context.input(0), context.input(1), context.input(2),
                                     context.input(3)};
  if (context.wants(0)) {
    auto inputs = head;
    inputs.push_back(ValueId{});
    context.set(0, context.apply(std::make_shared<LinearCrossEntropyGradOp>(
                                     LinearCrossEntropyGradOp::Wants{.input_grad = true}),
                                 inputs, "input_grad")[0]);
  }
  if (context.wants(1)) {
    context.add_to_parameter(
        1,
        [](bool first) {
          return std::make_shared<LinearCrossEntropyGradOp>(
              LinearCrossEntropyGradOp::Wants{.weight_grad = true, .first = first});
        },
        head, "weight_grad");
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

void LinearCrossEntropyOp::run(const KernelCall& call) const {
  run_loss(call, {.loss = call.outputs[0].as<double>()}, slice_);
}

void LinearCrossEntropyOp::reference(const ReferenceCall& call) const {
  reference_loss(call, {.loss = call.outputs[0].as<double>()}, slice_);
}

std::string LinearCrossEntropyOp::attributes() const {
  const std::string text = text_of(slice_);
  return text.empty() ? text : text.substr(1);
}

// Rows split: each rank a term of the loss. The vocabulary split: all ranks the whole loss.
std::vector<AxisStrategy> LinearCrossEntropyOp::strategies(const AxisSite&) const {
  return {{{rows(), whole(), rows(), whole()}, {term()}},
          {{whole(), rows(), whole(), whole()}, {whole()}}};
}

std::shared_ptr<const Op> LinearCrossEntropyOp::local(const LocalSite& site) const {
  auto slice = vocabulary_slice(site, 1);
  return slice ? std::make_shared<LinearCrossEntropyOp>(std::move(slice)) : nullptr;
}

// ---------------------------------------------------------------- loss and gradients
std::string LinearCrossEntropyGradOp::attributes() const {
  std::string text;
  if (wants_.loss) text += " loss";
  if (wants_.input_grad) text += " input_grad";
  if (wants_.weight_grad) text += " weight_grad";
  if (wants_.first) text += " first";
  text += text_of(slice_);
  return text.substr(1);
}

std::vector<ValueType> LinearCrossEntropyGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 5);
  check_head(kind(), in);
  std::vector<ValueType> types;
  if (wants_.loss) types.push_back({DType::kF64, {1}});
  if (wants_.input_grad) types.push_back(in[0]);
  if (wants_.weight_grad) {
    check_type(kind(), "grad", in[4], {DType::kF32, in[1].shape});
    types.push_back(in[4]);
  }
  return types;
}

std::vector<AxisStrategy> LinearCrossEntropyGradOp::strategies(const AxisSite&) const {
  AxisStrategy tokens{{rows(), whole(), rows(), whole(), term()}, {}};
  AxisStrategy vocabulary{{whole(), rows(), whole(), whole(), rows()}, {}};
  const auto output = [&](bool wanted, AxisPlacement of_tokens, AxisPlacement of_vocabulary) {
    if (!wanted) return;
    tokens.outputs.push_back(of_tokens);
    vocabulary.outputs.push_back(of_vocabulary);
  };
  output(wants_.loss, term(), whole());
  output(wants_.input_grad, rows(), term());
  output(wants_.weight_grad, term(), rows());
  return {tokens, vocabulary};
}

std::shared_ptr<const Op> LinearCrossEntropyGradOp::local(const LocalSite& site) const {
  auto slice = vocabulary_slice(site, 1);
  return slice ? std::make_shared<LinearCrossEntropyGradOp>(wants_, std::move(slice)) : nullptr;
}

std::vector<Alias> LinearCrossEntropyGradOp::aliases() const {
  if (!wants_.weight_grad) return {};
  return {{static_cast<int>(wants_.loss) + static_cast<int>(wants_.input_grad), 4, true}};
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

LossOutputs asked_outputs(const LinearCrossEntropyGradOp::Wants& wants,
                          std::span<const Operand> outputs, const RunState& state) {
  LossOutputs out;
  size_t next = 0;
  if (wants.loss) out.loss = outputs[next++].as<double>();
  if (wants.input_grad) out.d_x = &outputs[next++];
  if (wants.weight_grad) out.grad = &outputs[next++];
  out.overwrite_grad = wants.first && state.first_microbatch;
  return out;
}

}  // namespace

void LinearCrossEntropyGradOp::traffic(const TrafficCall& call) const {
  loss_traffic(call, slice_);
}

void LinearCrossEntropyGradOp::run(const KernelCall& call) const {
  run_loss(call, asked_outputs(wants_, call.outputs, call.state), slice_);
}

void LinearCrossEntropyGradOp::reference(const ReferenceCall& call) const {
  reference_loss(call, asked_outputs(wants_, call.outputs, call.state), slice_);
}

ValueId linear_cross_entropy(Builder& b, ValueId x, ValueId weight, ValueId targets, ValueId scale,
                             const std::string& name) {
  return b.apply1(std::make_shared<LinearCrossEntropyOp>(), {x, weight, targets, scale}, name);
}

}  // namespace ashlar::graph
