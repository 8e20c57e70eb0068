#include "ashlar/graph/ops/elementwise.h"

#include "ashlar/base/philox.h"
#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/elementwise.h"

#include <algorithm>

namespace ashlar::graph {
namespace ref = kernels::ref;

std::string_view name(kernels::Activation activation) {
  constexpr std::string_view names[] = {"none",       "gelu_tanh",    "gelu", "silu",   "relu",
                                        "gelu_quick", "relu_squared", "tanh", "sigmoid"};
  return names[static_cast<int>(activation)];
}

// ---------------------------------------------------------------- add
std::vector<ValueType> AddOp::infer(std::span<const ValueType> inputs) const {
  check_inputs(kind(), inputs, 2);
  check_type(kind(), "b", inputs[1], inputs[0]);
  return {inputs[0]};
}

void AddOp::gradient(GradientContext& context) const {
  for (const int i : {0, 1}) {
    if (context.wants(i)) context.set(i, context.grad(0));
  }
}

void AddOp::run(const KernelCall& call) const {
  const Operand& y = call.outputs[0];
  call.table.add({y.shape.elements(), y.dtype, call.inputs[0].data, call.inputs[1].data, y.data},
                 call.team);
}

void AddOp::reference(const ReferenceCall& call) const {
  ref::add({call.outputs[0].shape.elements(), call.inputs[0].as<double>(),
            call.inputs[1].as<double>(), call.outputs[0].as<double>()});
}

std::vector<AxisStrategy> AddOp::strategies(const AxisSite&) const {
  return {alike(2, 1, rows()), alike(2, 1, columns()), alike(2, 1, term())};
}

// ---------------------------------------------------------------- scale
std::string ScaleOp::attributes() const { return fmt::format("factor={}", factor_); }

std::vector<ValueType> ScaleOp::infer(std::span<const ValueType> inputs) const {
  check_inputs(kind(), inputs, 1);
  return {inputs[0]};
}

void ScaleOp::gradient(GradientContext& context) const {
  if (!context.wants(0)) return;
  context.set(0, context.apply(std::make_shared<ScaleOp>(factor_), {context.grad(0)}, "grad")[0]);
}

void ScaleOp::run(const KernelCall& call) const {
  const Operand& y = call.outputs[0];
  call.table.scale(
      {y.shape.elements(), y.dtype, static_cast<float>(factor_), call.inputs[0].data, y.data},
      call.team);
}

void ScaleOp::reference(const ReferenceCall& call) const {
  ref::scale({call.outputs[0].shape.elements(), factor_, call.inputs[0].as<double>(),
              call.outputs[0].as<double>()});
}

std::vector<AxisStrategy> ScaleOp::strategies(const AxisSite&) const {
  return {alike(1, 1, rows()), alike(1, 1, columns()), alike(1, 1, term())};
}

// ---------------------------------------------------------------- activation
std::string ActivationOp::attributes() const { return std::string(name(activation_)); }

std::vector<ValueType> ActivationOp::infer(std::span<const ValueType> inputs) const {
  check_inputs(kind(), inputs, 1);
  return {inputs[0]};
}

void ActivationOp::gradient(GradientContext& context) const {
  if (!context.wants(0)) return;
  context.set(0, context.apply(std::make_shared<ActivationGradOp>(activation_),
                               {context.input(0), context.grad(0)}, "grad")[0]);
}

void ActivationOp::run(const KernelCall& call) const {
  const Operand& y = call.outputs[0];
  call.table.activation({y.shape.elements(), activation_, y.dtype, call.inputs[0].data, y.data},
                        call.team);
}

void ActivationOp::reference(const ReferenceCall& call) const {
  ref::activation({call.outputs[0].shape.elements(), activation_, call.inputs[0].as<double>(),
                   call.outputs[0].as<double>()});
}

std::vector<AxisStrategy> ActivationOp::strategies(const AxisSite&) const {
  return {alike(1, 1, rows()), alike(1, 1, columns())};
}

std::string ActivationGradOp::attributes() const { return std::string(name(activation_)); }

std::vector<ValueType> ActivationGradOp::infer(std::span<const ValueType> inputs) const {
  check_inputs(kind(), inputs, 2);
  check_type(kind(), "d_y", inputs[1], inputs[0]);
  return {inputs[0]};
}

void ActivationGradOp::run(const KernelCall& call) const {
  const Operand& d_x = call.outputs[0];
  call.table.activation_grad({d_x.shape.elements(), activation_, d_x.dtype, call.inputs[0].data,
                              call.inputs[1].data, d_x.data},
                             call.team);
}

void ActivationGradOp::reference(const ReferenceCall& call) const {
  ref::activation_grad({call.outputs[0].shape.elements(), activation_, call.inputs[0].as<double>(),
                        call.inputs[1].as<double>(), call.outputs[0].as<double>()});
}

std::vector<AxisStrategy> ActivationGradOp::strategies(const AxisSite&) const {
  return {alike(2, 1, rows()), alike(2, 1, columns())};
}

// ---------------------------------------------------------------- gated
namespace {

// Rows and width of a matrix, for contiguous gate and up.
template <typename Args>
Args gated_args(const Operand& gate, const Operand& up, kernels::Activation activation) {
  Args args;
  args.rows = gate.shape[0];
  args.width = gate.shape[1];
  args.activation = activation;
  args.gate_stride = args.up_stride = gate.shape[1];
  if constexpr (std::is_same_v<Args, ref::GatedArgs>) {
    args.gate = gate.as<double>();
    args.up = up.as<double>();
  } else {
    args.dtype = gate.dtype;
    args.gate = gate.data;
    args.up = up.data;
  }
  return args;
}

}  // namespace

std::string GatedOp::attributes() const { return std::string(name(activation_)); }

std::vector<ValueType> GatedOp::infer(std::span<const ValueType> inputs) const {
  check_inputs(kind(), inputs, 2);
  check_rank(kind(), "gate", inputs[0], 2);
  check_type(kind(), "up", inputs[1], inputs[0]);
  return {inputs[0]};
}

void GatedOp::gradient(GradientContext& context) const {
  if (!context.wants(0) && !context.wants(1)) return;
  const auto grads = context.apply(std::make_shared<GatedGradOp>(activation_),
                                   {context.input(0), context.input(1), context.grad(0)}, "grad");
  if (context.wants(0)) context.set(0, grads[0]);
  if (context.wants(1)) context.set(1, grads[1]);
}

void GatedOp::run(const KernelCall& call) const {
  auto args = gated_args<kernels::GatedArgs>(call.inputs[0], call.inputs[1], activation_);
  args.out = call.outputs[0].data;
  call.table.gated(args, call.team);
}

void GatedOp::reference(const ReferenceCall& call) const {
  auto args = gated_args<ref::GatedArgs>(call.inputs[0], call.inputs[1], activation_);
  args.out = call.outputs[0].as<double>();
  ref::gated(args);
}

std::vector<AxisStrategy> GatedOp::strategies(const AxisSite&) const {
  return {alike(2, 1, rows()), alike(2, 1, columns())};
}

std::string GatedGradOp::attributes() const { return std::string(name(activation_)); }

std::vector<ValueType> GatedGradOp::infer(std::span<const ValueType> inputs) const {
  check_inputs(kind(), inputs, 3);
  check_type(kind(), "up", inputs[1], inputs[0]);
  check_type(kind(), "d_out", inputs[2], inputs[0]);
  return {inputs[0], inputs[0]};
}

void GatedGradOp::run(const KernelCall& call) const {
  call.table.gated_grad(
      {gated_args<kernels::GatedArgs>(call.inputs[0], call.inputs[1], activation_),
       call.inputs[2].data, call.outputs[0].data, call.outputs[1].data},
      call.team);
}

void GatedGradOp::reference(const ReferenceCall& call) const {
  ref::gated_grad({gated_args<ref::GatedArgs>(call.inputs[0], call.inputs[1], activation_),
                   call.inputs[2].as<double>(), call.outputs[0].as<double>(),
                   call.outputs[1].as<double>()});
}

std::vector<AxisStrategy> GatedGradOp::strategies(const AxisSite&) const {
  return {alike(3, 2, rows()), alike(3, 2, columns())};
}

// ---------------------------------------------------------------- dropout
std::string DropoutOp::attributes() const { return fmt::format("rate={}", rate_); }

uint64_t DropoutOp::key(const RunState& state) const { return stream_key(state.seed, path_); }

std::vector<ValueType> DropoutOp::infer(std::span<const ValueType> inputs) const {
  check_inputs(kind(), inputs, 1);
  check_rank(kind(), "x", inputs[0], 2);
  return {inputs[0]};
}

void DropoutOp::gradient(GradientContext& context) const {
  if (!context.wants(0)) return;
  context.set(
      0, context.apply(std::make_shared<DropoutOp>(rate_, path_), {context.grad(0)}, "grad")[0]);
}

template <typename F>
void DropoutOp::for_each_run(const RunState& state, int64_t rows, const F& f) const {
  if (!share_.shared()) return f(RowRun{0, 0, rows});
  const int64_t tokens = share_.tensor.parts == 1 ? rows : state.tokens;
  const Slice mine = slice_of(tokens, share_.tensor.parts, share_.tensor.index);
  const auto meet = [&](const RowRun& run) {
    const int64_t begin = std::max(run.local, mine.offset);
    const int64_t end = std::min(run.local + run.count, mine.end());
    if (begin < end) f(RowRun{run.first + begin - run.local, begin - mine.offset, end - begin});
  };
  const auto [parts, index] = share_.context;
  if (parts == 1) return meet({0, 0, tokens});
  const int64_t each = context_rows(share_.cut, parts, index, share_.cut.seq);
  const int64_t all = tokens / each * share_.cut.seq;
  for (const RowRun& run : context_runs(share_.cut, parts, index, all)) meet(run);
}

void DropoutOp::run(const KernelCall& call) const {
  const Operand& x = call.inputs[0];
  const Operand& y = call.outputs[0];
  const int64_t width = y.shape[1], row_bytes = width * size_of(y.dtype);
  for_each_run(call.state, y.shape[0], [&](const RowRun& run) {
    const auto first =
        (call.state.first_token + static_cast<uint64_t>(run.first)) * static_cast<uint64_t>(width);
    call.table.dropout(
        {run.count * width, y.dtype, static_cast<float>(rate_), key(call.state), call.state.step,
         first, x.data + run.local * row_bytes, y.data + run.local * row_bytes},
        call.team);
  });
}

void DropoutOp::reference(const ReferenceCall& call) const {
  const Operand& y = call.outputs[0];
  const int64_t width = y.shape[1];
  for_each_run(call.state, y.shape[0], [&](const RowRun& run) {
    const auto first =
        (call.state.first_token + static_cast<uint64_t>(run.first)) * static_cast<uint64_t>(width);
    ref::dropout({run.count * width, rate_, key(call.state), call.state.step, first,
                  call.inputs[0].as<double>() + run.local * width,
                  y.as<double>() + run.local * width});
  });
}

std::vector<AxisStrategy> DropoutOp::strategies(const AxisSite&) const {
  return {alike(1, 1, rows())};
}

std::shared_ptr<const Op> DropoutOp::local(const LocalSite& site) const {
  // Data ranks say by first_token where their rows begin.
  const Share share{site.cut(0, 0, "context"), site.cut(0, 0, "tensor"), site.context};
  if (!share.shared()) return nullptr;
  return std::make_shared<DropoutOp>(rate_, path_, share);
}

// ---------------------------------------------------------------- cast
std::string CastOp::attributes() const { return fmt::format("to={}", ashlar::name(to_)); }

std::vector<ValueType> CastOp::infer(std::span<const ValueType> inputs) const {
  check_inputs(kind(), inputs, into_variable_ ? 2 : 1);
  const ValueType result{to_, inputs[0].shape};
  if (into_variable_) check_type(kind(), "target", inputs[1], result);
  return {result};
}

void CastOp::gradient(GradientContext& context) const {
  if (!context.wants(0)) return;
  const DType from = context.type(context.input(0)).dtype;
  context.set(0,
              context.apply(std::make_shared<CastOp>(from, false), {context.grad(0)}, "grad")[0]);
}

void CastOp::run(const KernelCall& call) const {
  const Operand& x = call.inputs[0];
  call.table.cast(
      {x.shape.elements(), x.dtype, call.outputs[0].dtype, x.data, call.outputs[0].data},
      call.team);
}

void CastOp::reference(const ReferenceCall& call) const {
  std::memcpy(call.outputs[0].data, call.inputs[0].data,
              static_cast<size_t>(call.inputs[0].shape.elements()) * sizeof(double));
}

std::vector<AxisStrategy> CastOp::strategies(const AxisSite& site) const {
  std::vector<AxisStrategy> result;
  for (int dim = 0; dim < site.inputs[0].shape.rank(); ++dim)
    result.push_back(alike(site.inputs.size(), 1, AxisPlacement::split(dim)));
  return result;
}

std::vector<Alias> CastOp::aliases() const {
  return into_variable_ ? std::vector<Alias>{{0, 1, true}} : std::vector<Alias>{};
}

// ---------------------------------------------------------------- builders
ValueId add(Builder& b, ValueId a, ValueId c, const std::string& name) {
  return b.apply1(std::make_shared<AddOp>(), {a, c}, name);
}

ValueId scale(Builder& b, ValueId x, double factor, const std::string& name) {
  if (factor == 1) return x;
  return b.apply1(std::make_shared<ScaleOp>(factor), {x}, name);
}

ValueId activation(Builder& b, ValueId x, kernels::Activation f, const std::string& name) {
  return b.apply1(std::make_shared<ActivationOp>(f), {x}, name);
}

ValueId gated(Builder& b, ValueId gate, ValueId up, kernels::Activation f,
              const std::string& name) {
  return b.apply1(std::make_shared<GatedOp>(f), {gate, up}, name);
}

ValueId dropout(Builder& b, ValueId x, double rate, const std::string& name) {
  if (rate == 0) return x;
  ASHLAR_CHECK(rate > 0 && rate < 1, "dropout: rate {} is not in [0, 1)", rate);
  return b.apply1(std::make_shared<DropoutOp>(rate, b.path(name)), {x}, name);
}

ValueId cast(Builder& b, ValueId x, DType to, const std::string& name) {
  if (b.type(x).dtype == to) return x;
  return b.apply1(std::make_shared<CastOp>(to, false), {x}, name);
}

}  // namespace ashlar::graph
