#include "ashlar/graph/ops/attention.h"

#include "ashlar/base/philox.h"
#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/attention.h"

namespace ashlar::graph {
namespace {

namespace ref = kernels::ref;

std::string spec_text(const AttentionSpec& spec) {
  std::string text =
      fmt::format("heads={} kv_heads={} dim={}", spec.heads, spec.kv_heads, spec.head_dim);
  if (spec.mask.causal) text += " causal";
  if (spec.mask.window > 0) text += fmt::format(" window={}", spec.mask.window);
  if (spec.mask.softcap > 0) text += fmt::format(" softcap={}", spec.mask.softcap);
  if (spec.dropout > 0) text += fmt::format(" dropout={}", spec.dropout);
  return text;
}

void check_heads(std::string_view op, const AttentionSpec& spec, const ValueType& q) {
  ASHLAR_CHECK(spec.kv_heads > 0 && spec.heads % spec.kv_heads == 0,
               "{}: {} query heads are not a multiple of {} key-value heads", op, spec.heads,
               spec.kv_heads);
  check_rank(op, "q", q, 2);
  ASHLAR_CHECK(q.shape[1] == Dim(spec.heads * spec.head_dim), "{}: q is {}, wanted {} heads x {}",
               op, q.str(), spec.heads, spec.head_dim);
}

// Query-key pairs that are not masked, of n queries ending at position `keys`.
double visible_pairs(const kernels::AttentionMask& mask, int64_t queries, int64_t keys) {
  const auto n = static_cast<double>(queries), m = static_cast<double>(keys);
  if (!mask.causal) return n * m;
  const auto w = static_cast<double>(mask.window);
  if (mask.window <= 0 || m <= w) return n * (m - (n - 1) / 2);
  // Queries at positions m-n .. m-1 each see min(position + 1, w) keys.
  const double short_queries = std::max(0.0, std::min(n, w - (m - n)));
  return short_queries * ((m - n) + (short_queries + 1) / 2) + (n - short_queries) * w;
}

// Pairs of a batch: exact when row_start is bound, else for sequences of equal length.
double batch_pairs(const kernels::AttentionMask& mask, const Operand& row_start, int64_t tokens) {
  const int64_t seqs = row_start.shape[0] - 1;
  if (row_start.data == nullptr) {
    const int64_t length = seqs > 0 ? tokens / seqs : 0;
    return static_cast<double>(seqs) * visible_pairs(mask, length, length);
  }
  double pairs = 0;
  for (int64_t s = 0; s < seqs; ++s) {
    const int64_t length = row_start.as<int32_t>()[s + 1] - row_start.as<int32_t>()[s];
    pairs += visible_pairs(mask, length, length);
  }
  return pairs;
}

// Fields shared by the kernel's arguments and the reference's.
template <typename Args>
Args common_args(const AttentionSpec& spec, const Operand& q) {
  Args args;
  args.mask = spec.mask;
  args.tokens = q.shape[0];
  args.heads = spec.heads;
  args.kv_heads = spec.kv_heads;
  args.head_dim = spec.head_dim;
  args.q_stride = q.shape[1];
  return args;
}

kernels::AttentionDropout dropout_args(const AttentionSpec& spec, const RunState& state) {
  kernels::AttentionDropout dropout;
  dropout.rate = static_cast<float>(spec.dropout);
  dropout.key = stream_key(state.seed, spec.dropout_path);
  dropout.step = state.step;
  dropout.first_token = state.first_token;
  return dropout;
}

kernels::AttentionArgs forward_args(const AttentionSpec& spec, std::span<const Operand> in) {
  auto args = common_args<kernels::AttentionArgs>(spec, in[0]);
  args.seqs = in[3].shape[0] - 1;
  args.row_start = in[3].as<int32_t>();
  args.dtype = in[0].dtype;
  args.q = in[0].data;
  args.k = in[1].data;
  args.v = in[2].data;
  args.k_stride = in[1].shape[1];
  args.v_stride = in[2].shape[1];
  return args;
}

ref::AttentionArgs forward_args_f64(const AttentionSpec& spec, std::span<const Operand> in) {
  auto args = common_args<ref::AttentionArgs>(spec, in[0]);
  args.seqs = in[3].shape[0] - 1;
  args.row_start = in[3].as<int32_t>();
  args.q = in[0].as<double>();
  args.k = in[1].as<double>();
  args.v = in[2].as<double>();
  args.k_stride = in[1].shape[1];
  args.v_stride = in[2].shape[1];
  return args;
}

kernels::AttentionGradArgs grad_args(const AttentionSpec& spec, std::span<const Operand> in,
                                     std::span<const Operand> out) {
  kernels::AttentionGradArgs args;
  args.forward = forward_args(spec, in);
  args.forward.out = in[4].data;
  args.forward.lse = in[5].as<float>();
  args.d_out = in[6].data;
  args.d_q = out[0].data;
  args.d_k = out[1].data;
  args.d_v = out[2].data;
  return args;
}

kernels::PagedAttentionArgs paged_args(const AttentionSpec& spec, std::span<const Operand> in,
                                       const Operand& out) {
  auto args = common_args<kernels::PagedAttentionArgs>(spec, in[0]);
  args.seqs = in[4].shape[0];
  args.dtype = in[0].dtype;
  args.q = in[0].data;
  args.pool_dtype = in[1].dtype;
  args.k_pool = in[1].data;
  args.v_pool = in[2].data;
  args.row_start = in[3].as<int32_t>();
  args.context = in[4].as<int32_t>();
  args.block_table = in[5].as<int32_t>();
  args.block_table_stride = in[5].shape[1];
  args.out = out.data;
  return args;
}

}  // namespace

// ---------------------------------------------------------------- forward
std::string AttentionOp::attributes() const { return spec_text(spec_); }

std::vector<ValueType> AttentionOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 4);
  check_heads(kind(), spec_, in[0]);
  ASHLAR_CHECK(spec_.dropout >= 0 && static_cast<float>(spec_.dropout) < 1,
               "{}: dropout {} is not in [0, 1)", kind(), spec_.dropout);
  const Dim tokens = in[0].shape[0];
  const ValueType kv{in[0].dtype, {tokens, spec_.kv_heads * spec_.head_dim}};
  check_type(kind(), "k", in[1], kv);
  check_type(kind(), "v", in[2], kv);
  check_rank(kind(), "row_start", in[3], 1);
  check_dtype(kind(), "row_start", in[3], DType::kI32);
  return {in[0], {DType::kF32, {tokens, spec_.heads}}};
}

void AttentionOp::gradient(GradientContext& context) const {
  if (!context.wants(0) && !context.wants(1) && !context.wants(2)) return;
  const auto grads =
      context.apply(std::make_shared<AttentionGradOp>(spec_),
                    {context.input(0), context.input(1), context.input(2), context.input(3),
                     context.output(0), context.output(1), context.grad(0)},
                    "grad");
  for (const int i : {0, 1, 2}) {
    if (context.wants(i)) context.set(i, grads[static_cast<size_t>(i)]);
  }
}

Cost AttentionOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  const double pairs = batch_pairs(spec_.mask, in[3], in[0].shape[0]);
  return {4 * pairs * static_cast<double>(spec_.heads * spec_.head_dim), Op::cost(in, out).bytes};
}

int64_t AttentionOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand>,
                                   const kernels::KernelTable& table, int threads) const {
  return table.attention_scratch(forward_args(spec_, in), threads);
}

void AttentionOp::run(const KernelCall& call) const {
  auto args = forward_args(spec_, call.inputs);
  args.dropout = dropout_args(spec_, call.state);
  args.out = call.outputs[0].data;
  args.lse = call.outputs[1].as<float>();
  call.table.attention(args, call.team);
}

void AttentionOp::reference(const ReferenceCall& call) const {
  auto args = forward_args_f64(spec_, call.inputs);
  args.dropout = dropout_args(spec_, call.state);
  args.out = call.outputs[0].as<double>();
  args.lse = call.outputs[1].as<double>();
  ref::attention(args);
}

// ---------------------------------------------------------------- gradient
std::string AttentionGradOp::attributes() const { return spec_text(spec_); }

std::vector<ValueType> AttentionGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 7);
  check_type(kind(), "out", in[4], in[0]);
  check_type(kind(), "d_out", in[6], in[0]);
  return {in[0], in[1], in[2]};
}

Cost AttentionGradOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  const double pairs = batch_pairs(spec_.mask, in[3], in[0].shape[0]);
  // dV, dP, dQ, dK; the scores computed again are not counted (MFU counts no recomputation).
  return {8 * pairs * static_cast<double>(spec_.heads * spec_.head_dim), Op::cost(in, out).bytes};
}

int64_t AttentionGradOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand> out,
                                       const kernels::KernelTable& table, int threads) const {
  return table.attention_grad_scratch(grad_args(spec_, in, out), threads);
}

void AttentionGradOp::run(const KernelCall& call) const {
  auto args = grad_args(spec_, call.inputs, call.outputs);
  args.forward.dropout = dropout_args(spec_, call.state);
  call.table.attention_grad(args, call.team);
}

void AttentionGradOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  ref::AttentionGradArgs args;
  args.forward = forward_args_f64(spec_, in);
  args.forward.dropout = dropout_args(spec_, call.state);
  args.forward.out = in[4].as<double>();
  args.forward.lse = in[5].as<double>();
  args.d_out = in[6].as<double>();
  args.d_q = call.outputs[0].as<double>();
  args.d_k = call.outputs[1].as<double>();
  args.d_v = call.outputs[2].as<double>();
  ref::attention_grad(args);
}

// ---------------------------------------------------------------- cache write
std::vector<ValueType> KvWriteOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 5);
  check_rank(kind(), "k", in[0], 2);
  check_type(kind(), "v", in[1], in[0]);
  check_type(kind(), "slots", in[2], {DType::kI32, {in[0].shape[0]}});
  check_rank(kind(), "k_pool", in[3], 4);
  check_rank(kind(), "v_pool", in[4], 4);
  const Dim kv_heads = in[3].shape[1], head_dim = in[3].shape[2];
  ASHLAR_CHECK(in[0].shape[1] == Dim(kv_heads.offset * head_dim.offset),
               "kv_write: k is {}, wanted width {} heads x {}", in[0].str(), kv_heads.str(),
               head_dim.str());
  return {in[3], in[4]};
}

Cost KvWriteOp::cost(std::span<const Operand> in, std::span<const Operand>) const {
  const double elements = 2.0 * static_cast<double>(in[0].shape.elements());
  return {0, elements * static_cast<double>(size_of(in[0].dtype) + size_of(in[3].dtype))};
}

void KvWriteOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  kernels::KvWriteArgs args;
  args.tokens = in[0].shape[0];
  args.kv_heads = in[3].shape[1];
  args.head_dim = in[3].shape[2];
  args.dtype = in[0].dtype;
  args.k = in[0].data;
  args.v = in[1].data;
  args.k_stride = args.v_stride = in[0].shape[1];
  args.slots = in[2].as<int32_t>();
  args.pool_dtype = in[3].dtype;
  args.k_pool = call.outputs[0].data;
  args.v_pool = call.outputs[1].data;
  call.table.kv_write(args, call.team);
}

void KvWriteOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  ref::KvWriteArgs args;
  args.tokens = in[0].shape[0];
  args.kv_heads = in[3].shape[1];
  args.head_dim = in[3].shape[2];
  args.k = in[0].as<double>();
  args.v = in[1].as<double>();
  args.k_stride = args.v_stride = in[0].shape[1];
  args.slots = in[2].as<int32_t>();
  args.k_pool = call.outputs[0].as<double>();
  args.v_pool = call.outputs[1].as<double>();
  ref::kv_write(args);
}

// ---------------------------------------------------------------- paged forward
std::string PagedAttentionOp::attributes() const { return spec_text(spec_); }

std::vector<ValueType> PagedAttentionOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 6);
  check_heads(kind(), spec_, in[0]);
  ASHLAR_CHECK(spec_.dropout == 0, "{}: dropout {} is for training only", kind(), spec_.dropout);
  check_rank(kind(), "k_pool", in[1], 4);
  const Dim blocks = in[1].shape[0];
  check_shape(kind(), "k_pool", in[1],
              {blocks, spec_.kv_heads, spec_.head_dim, kernels::kCacheBlock});
  check_type(kind(), "v_pool", in[2],
             {in[1].dtype, {blocks, spec_.kv_heads, kernels::kCacheBlock, spec_.head_dim}});
  check_rank(kind(), "row_start", in[3], 1);
  check_rank(kind(), "context", in[4], 1);
  check_rank(kind(), "block_table", in[5], 2);
  return {in[0]};
}

Cost PagedAttentionOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  const int64_t seqs = in[4].shape[0];
  double pairs = 0, keys = 0;
  for (int64_t s = 0; s < seqs && in[4].data != nullptr; ++s) {
    const int64_t rows = in[3].as<int32_t>()[s + 1] - in[3].as<int32_t>()[s];
    const int64_t context = in[4].as<int32_t>()[s];
    pairs += visible_pairs(spec_.mask, rows, context);
    keys += static_cast<double>(context);
  }
  const auto width = static_cast<double>(spec_.heads * spec_.head_dim);
  const auto kv_width = static_cast<double>(spec_.kv_heads * spec_.head_dim);
  return {4 * pairs * width, 2 * keys * kv_width * static_cast<double>(size_of(in[1].dtype)) +
                                 operand_bytes(in.first(1)) + operand_bytes(out)};
}

int64_t PagedAttentionOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand> out,
                                        const kernels::KernelTable& table, int threads) const {
  return table.paged_attention_scratch(paged_args(spec_, in, out[0]), threads);
}

void PagedAttentionOp::run(const KernelCall& call) const {
  call.table.paged_attention(paged_args(spec_, call.inputs, call.outputs[0]), call.team);
}

void PagedAttentionOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  auto args = common_args<ref::PagedAttentionArgs>(spec_, in[0]);
  args.seqs = in[4].shape[0];
  args.q = in[0].as<double>();
  args.k_pool = in[1].as<double>();
  args.v_pool = in[2].as<double>();
  args.row_start = in[3].as<int32_t>();
  args.context = in[4].as<int32_t>();
  args.block_table = in[5].as<int32_t>();
  args.block_table_stride = in[5].shape[1];
  args.out = call.outputs[0].as<double>();
  ref::paged_attention(args);
}

// ---------------------------------------------------------------- builders
ValueId attention(Builder& b, ValueId q, ValueId k, ValueId v, ValueId row_start,
                  AttentionSpec spec, const std::string& name) {
  spec.dropout_path = b.path(name);
  return b.apply1(std::make_shared<AttentionOp>(std::move(spec)), {q, k, v, row_start}, name);
}

ValueId paged_attention(Builder& b, ValueId q, ValueId k, ValueId v, VariableId k_pool,
                        VariableId v_pool, const PagedBatch& batch, const AttentionSpec& spec,
                        const std::string& name) {
  const auto pools = b.apply(
      std::make_shared<KvWriteOp>(),
      {k, v, batch.slots, b.graph().current(k_pool), b.graph().current(v_pool)}, name + "_write");
  return b.apply1(std::make_shared<PagedAttentionOp>(spec),
                  {q, pools[0], pools[1], batch.row_start, batch.context, batch.block_table}, name);
}

}  // namespace ashlar::graph
