#include "ashlar/graph/ops/loss.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/gemm.h"
#include "ashlar/kernels/ref/loss.h"

#include <algorithm>

namespace ashlar::graph {
namespace {

namespace ref = kernels::ref;
using kernels::GemmArgs;

// Logits of one chunk of rows: about 64 MB, in whole blocks of the GEMM contract, a function of the
// vocabulary alone so that bits do not depend on the batch.
int64_t chunk_rows(int64_t vocab) {
  constexpr int64_t kLogitsBytes = int64_t{64} << 20;
  const int64_t rows = kLogitsBytes / (vocab * int64_t{sizeof(float)});
  return std::max<int64_t>(rows / kernels::kGemmBlock, 1) * kernels::kGemmBlock;
}

constexpr int64_t align(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// One chunk's three products and where its logits lie.
struct Chunk {
  const Operand& x;
  const Operand& weight;
  int64_t first, rows;
  float* logits;

  int64_t vocab() const { return weight.shape[0]; }
  int64_t width() const { return x.shape[1]; }
  std::byte* x_data() const { return x.data + first * width() * size_of(x.dtype); }
  kernels::MatrixView weight_rows() const { return {weight.data, weight.dtype, width(), 1}; }

  GemmArgs forward() const {
    GemmArgs args;
    args.m = rows;
    args.n = vocab();
    args.r = width();
    args.a = {x_data(), x.dtype, width(), 1};
    args.b = {weight.data, weight.dtype, 1, width()};
    args.c = logits;
    args.c_stride = vocab();
    return args;
  }
  GemmArgs input_grad(const Operand& d_x) const {
    GemmArgs args;
    args.m = rows;
    args.n = width();
    args.r = vocab();
    args.a = {logits, DType::kF32, vocab(), 1};
    args.b = weight_rows();
    args.c = d_x.data + first * width() * size_of(d_x.dtype);
    args.c_dtype = d_x.dtype;
    args.c_stride = width();
    return args;
  }
  GemmArgs weight_grad(const Operand& grad, bool overwrite) const {
    GemmArgs args;
    args.m = vocab();
    args.n = width();
    args.r = rows;
    args.a = {logits, DType::kF32, 1, vocab()};
    args.b = {x_data(), x.dtype, width(), 1};
    args.c = grad.data;
    args.c_stride = width();
    args.accumulate = !overwrite;
    return args;
  }
};

// Scratch: logits of a chunk, losses of its rows, then the GEMM's own.
struct ScratchLayout {
  int64_t rows, loss_offset, gemm_offset, bytes;

  ScratchLayout(const Operand& x, const Operand& weight, const kernels::KernelTable& table,
                int threads) {
    const int64_t vocab = weight.shape[0];
    rows = std::min(chunk_rows(vocab), x.shape[0]);
    loss_offset = align(rows * vocab * int64_t{sizeof(float)});
    gemm_offset = loss_offset + align(rows * int64_t{sizeof(float)});
    const Chunk chunk{x, weight, 0, rows, nullptr};
    const int64_t gemm = std::max({table.gemm_scratch(chunk.forward(), threads),
                                   table.gemm_scratch(chunk.input_grad(x), threads),
                                   table.gemm_scratch(chunk.weight_grad(weight, false), threads)});
    bytes = gemm_offset + gemm;
  }
};

struct LossOutputs {
  double* loss = nullptr;
  const Operand* d_x = nullptr;
  const Operand* grad = nullptr;
  bool overwrite_grad = false;
};

void run_chunks(const KernelCall& call, const LossOutputs& out) {
  const Operand& x = call.inputs[0];
  const Operand& weight = call.inputs[1];
  const ScratchLayout layout(x, weight, call.table, call.team.threads);
  kernels::Team team = call.team;
  team.scratch += layout.gemm_offset;
  team.scratch_bytes -= layout.gemm_offset;
  auto* losses = reinterpret_cast<float*>(call.team.scratch + layout.loss_offset);

  const float scale = call.inputs[3].as<float>()[0];
  const bool wants_gradient = out.d_x != nullptr || out.grad != nullptr;
  double total = 0;
  for (int64_t first = 0; first < x.shape[0]; first += layout.rows) {
    const int64_t rows = std::min(layout.rows, x.shape[0] - first);
    const Chunk chunk{x, weight, first, rows, reinterpret_cast<float*>(call.team.scratch)};
    call.table.gemm(chunk.forward(), team);
    kernels::CrossEntropyArgs loss;
    loss.rows = rows;
    loss.vocab = chunk.vocab();
    loss.logits = chunk.logits;
    loss.logits_stride = chunk.vocab();
    loss.targets = call.inputs[2].as<int32_t>() + first;
    loss.scale = scale;
    loss.gradient = wants_gradient;
    loss.loss = losses;
    call.table.cross_entropy(loss, team);
    for (int64_t i = 0; i < rows; ++i) total += static_cast<double>(losses[i]);
    if (out.d_x != nullptr) call.table.gemm(chunk.input_grad(*out.d_x), team);
    if (out.grad != nullptr) {
      call.table.gemm(chunk.weight_grad(*out.grad, out.overwrite_grad && first == 0), team);
    }
  }
  if (out.loss != nullptr) *out.loss = total * static_cast<double>(scale);
}

void reference_rows(const ReferenceCall& call, const LossOutputs& out) {
  const Operand& x = call.inputs[0];
  const Operand& weight = call.inputs[1];
  const int64_t rows = x.shape[0], width = x.shape[1], vocab = weight.shape[0];
  std::vector<double> logits(static_cast<size_t>(rows * vocab)), losses(static_cast<size_t>(rows));
  ref::GemmArgs gemm;
  gemm.m = rows;
  gemm.n = vocab;
  gemm.r = width;
  gemm.a = {x.as<double>(), width, 1};
  gemm.b = {weight.as<double>(), 1, width};
  gemm.c = logits.data();
  gemm.c_stride = vocab;
  ref::gemm(gemm);

  ref::CrossEntropyArgs loss;
  loss.rows = rows;
  loss.vocab = vocab;
  loss.logits = logits.data();
  loss.logits_stride = vocab;
  loss.targets = call.inputs[2].as<int32_t>();
  loss.scale = call.inputs[3].as<double>()[0];
  loss.gradient = true;
  loss.loss = losses.data();
  ref::cross_entropy(loss);
  if (out.loss != nullptr) {
    double total = 0;
    for (const double value : losses) total += value;
    *out.loss = total * loss.scale;
  }
  if (out.d_x != nullptr) {
    ref::GemmArgs grad;
    grad.m = rows;
    grad.n = width;
    grad.r = vocab;
    grad.a = {logits.data(), vocab, 1};
    grad.b = {weight.as<double>(), width, 1};
    grad.c = out.d_x->as<double>();
    grad.c_stride = width;
    ref::gemm(grad);
  }
  if (out.grad != nullptr) {
    ref::GemmArgs grad;
    grad.m = vocab;
    grad.n = width;
    grad.r = rows;
    grad.a = {logits.data(), 1, vocab};
    grad.b = {x.as<double>(), width, 1};
    grad.c = out.grad->as<double>();
    grad.c_stride = width;
    grad.accumulate = !out.overwrite_grad;
    ref::gemm(grad);
  }
}

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
  return ScratchLayout(in[0], in[1], table, threads).bytes;
}

void LinearCrossEntropyOp::run(const KernelCall& call) const {
  run_chunks(call, {.loss = call.outputs[0].as<double>()});
}

void LinearCrossEntropyOp::reference(const ReferenceCall& call) const {
  reference_rows(call, {.loss = call.outputs[0].as<double>()});
}

// ---------------------------------------------------------------- loss and gradients
std::string LinearCrossEntropyGradOp::attributes() const {
  std::string text;
  if (wants_.loss) text += " loss";
  if (wants_.input_grad) text += " input_grad";
  if (wants_.weight_grad) text += " weight_grad";
  if (wants_.first) text += " first";
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
  return ScratchLayout(in[0], in[1], table, threads).bytes;
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

void LinearCrossEntropyGradOp::run(const KernelCall& call) const {
  run_chunks(call, asked_outputs(wants_, call.outputs, call.state));
}

void LinearCrossEntropyGradOp::reference(const ReferenceCall& call) const {
  reference_rows(call, asked_outputs(wants_, call.outputs, call.state));
}

ValueId linear_cross_entropy(Builder& b, ValueId x, ValueId weight, ValueId targets, ValueId scale,
                             const std::string& name) {
  return b.apply1(std::make_shared<LinearCrossEntropyOp>(), {x, weight, targets, scale}, name);
}

}  // namespace ashlar::graph
