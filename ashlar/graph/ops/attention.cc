#include "ashlar/graph/ops/attention.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/attention_args.h"
#include "ashlar/graph/ops/ring_attention.h"
#include "ashlar/graph/ops/shape_rules.h"

#include <optional>

namespace ashlar::graph {
namespace {

namespace ref = kernels::ref;

void check_heads(std::string_view op, const AttentionSpec& spec, const ValueType& q) {
  ASHLAR_CHECK(spec.kv_heads > 0 && spec.heads % spec.kv_heads == 0,
               "{}: {} query heads are not a multiple of {} key-value heads", op, spec.heads,
               spec.kv_heads);
  check_rank(op, "q", q, 2);
  ASHLAR_CHECK(q.shape[1] == Dim(spec.heads * spec.head_dim), "{}: q is {}, wanted {} heads x {}",
               op, q.str(), spec.heads, spec.head_dim);
}

void check_pools(std::string_view op, const AttentionSpec& spec, const ValueType& k,
                 const ValueType& v) {
  const int64_t block = kernels::kCacheBlock;
  if (!v.present) {
    check_rank(op, "k_pool", k, 3);
    ASHLAR_CHECK(spec.kv_heads == 1 && spec.values() <= spec.head_dim,
                 "{}: {} key-value heads with values of {} in keys of {}, wanted one, and values "
                 "that are part of it",
                 op, spec.kv_heads, spec.values(), spec.head_dim);
    check_shape(op, "k_pool", k, {k.shape[0], block, spec.head_dim});
    return;
  }
  ASHLAR_CHECK(spec.values() == spec.head_dim, "{}: values of {} in a cache of keys of {}", op,
               spec.values(), spec.head_dim);
  check_rank(op, "k_pool", k, 4);
  check_shape(op, "k_pool", k, {k.shape[0], spec.kv_heads, spec.head_dim, block});
  check_type(op, "v_pool", v, {k.dtype, {k.shape[0], spec.kv_heads, block, spec.head_dim}});
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

// Rows of whole sequences, heads, or rows of sequences that ranks share. (q, k, v, row_start) are
// followed by `more` inputs that lie as q does, and so do all outputs.
std::vector<AxisStrategy> attention_strategies(const AxisSite& site, size_t more, size_t outputs) {
  const auto split = [&](AxisPlacement placement, AxisPlacement row_start) {
    AxisStrategy strategy = alike(4 + more, outputs, placement);
    strategy.inputs[3] = row_start;
    return strategy;
  };
  if (site.ring) return {split(rows(), whole())};
  std::vector<AxisStrategy> strategies = {split(columns(), whole())};
  if (site.whole_sequences) strategies.push_back(split(rows(), rows()));
  return strategies;
}

// The spec of the heads that a rank has.
AttentionSpec local_spec(std::string_view op, AttentionSpec spec, const LocalSite& site) {
  const std::vector<int> mine = site.mesh.coordinates(site.rank);
  int parts = 1, index = 0;
  const auto cut = [&](bool context) {
    for (size_t a = 0; a < mine.size(); ++a) {
      const MeshAxis& axis = site.mesh.axes()[a];
      const AxisPlacement& q = site.placements[0].axes[a];
      if (!q.is_split() || q.dim != 1 || (axis.name == "context") != context) continue;
      index = index * axis.size + mine[a];
      parts *= axis.size;
    }
  };
  // The all-to-all of context ranks cuts what the others have cut.
  cut(false);
  cut(true);
  ASHLAR_CHECK(spec.heads % parts == 0 && spec.kv_heads % parts == 0,
               "{} {}: {} heads over {} key-value heads cannot be dealt to {} ranks: use a number "
               "that divides both",
               op, site.label, spec.heads, spec.kv_heads, parts);
  spec.heads /= parts;
  spec.kv_heads /= parts;
  spec.first_head += index * spec.heads;
  return spec;
}

// Where queries are split along an axis and documents are not, ranks share sequences along it.
std::optional<ContextRing> ring_of(const LocalSite& site) {
  const auto& axes = site.mesh.axes();
  for (size_t a = 0; a < axes.size(); ++a) {
    const AxisPlacement &q = site.placements[0].axes[a], &starts = site.placements[3].axes[a];
    if (axes[a].size == 1 || !q.is_split() || q.dim != 0 || starts.is_split()) continue;
    return ContextRing{{site.group(axes[a].name), site.label}, site.context};
  }
  return std::nullopt;
}

kernels::PagedAttentionArgs paged_args(const AttentionSpec& spec, std::span<const Operand> in,
                                       const Operand& out) {
  auto args = common_args<kernels::PagedAttentionArgs>(spec, in[0]);
  args.seqs = in[4].shape[0];
  args.dtype = in[0].dtype;
  args.q = in[0].data;
  args.pool_dtype = in[1].dtype;
  args.k_pool = in[1].data;
  if (in[2].present) args.v_pool = in[2].data;
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
  const DType dtype = in[0].dtype;
  check_type(kind(), "k", in[1], {dtype, {tokens, spec_.kv_heads * spec_.head_dim}});
  check_type(kind(), "v", in[2], {dtype, {tokens, spec_.kv_heads * spec_.values()}});
  check_rank(kind(), "row_start", in[3], 1);
  check_dtype(kind(), "row_start", in[3], DType::kI32);
  return {{dtype, {tokens, spec_.heads * spec_.values()}}, {DType::kF32, {tokens, spec_.heads}}};
}

void AttentionOp::gradient(GradientContext& context) const {
  if (!context.wants(0) && !context.wants(1) && !context.wants(2)) return;
  const auto grads =
      context.apply(gradient_op(),
                    {context.input(0), context.input(1), context.input(2), context.input(3),
                     context.output(0), context.output(1), context.grad(0)},
                    "grad");
  for (const int i : {0, 1, 2}) {
    if (context.wants(i)) context.set(i, grads[static_cast<size_t>(i)]);
  }
}

OpPtr AttentionOp::gradient_op() const { return std::make_shared<AttentionGradOp>(spec_); }

std::vector<AxisStrategy> AttentionOp::strategies(const AxisSite& site) const {
  return attention_strategies(site, 0, 2);
}

OpPtr AttentionOp::local(const LocalSite& site) const {
  AttentionSpec spec = local_spec(kind(), spec_, site);
  if (auto ring = ring_of(site)) {
    return std::make_shared<RingAttentionOp>(std::move(spec), *std::move(ring));
  }
  if (spec.heads == spec_.heads) return nullptr;
  return std::make_shared<AttentionOp>(std::move(spec));
}

Cost AttentionOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  const double pairs = batch_pairs(spec_.mask, in[3], in[0].shape[0]);
  return {2 * pairs * both_widths(spec_), Op::cost(in, out).bytes};
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
  const ValueType out{in[0].dtype, {in[0].shape[0], spec_.heads * spec_.values()}};
  check_type(kind(), "out", in[4], out);
  check_type(kind(), "d_out", in[6], out);
  return {in[0], in[1], in[2]};
}

std::vector<AxisStrategy> AttentionGradOp::strategies(const AxisSite& site) const {
  return attention_strategies(site, 3, 3);
}

OpPtr AttentionGradOp::local(const LocalSite& site) const {
  AttentionSpec spec = local_spec(kind(), spec_, site);
  if (auto ring = ring_of(site)) {
    return std::make_shared<RingAttentionGradOp>(std::move(spec), *std::move(ring));
  }
  if (spec.heads == spec_.heads) return nullptr;
  return std::make_shared<AttentionGradOp>(std::move(spec));
}

Cost AttentionGradOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  const double pairs = batch_pairs(spec_.mask, in[3], in[0].shape[0]);
  // dV, dP, dQ, dK; the scores computed again are not counted (MFU counts no recomputation).
  return {4 * pairs * both_widths(spec_), Op::cost(in, out).bytes};
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
  check_pools(kind(), spec_, in[1], in[2]);
  check_rank(kind(), "row_start", in[3], 1);
  check_rank(kind(), "context", in[4], 1);
  check_rank(kind(), "block_table", in[5], 2);
  return {{in[0].dtype, {in[0].shape[0], spec_.heads * spec_.values()}}};
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
  const int64_t pools = in[2].present ? 2 : 1;
  const auto key_bytes =
      static_cast<double>(pools * spec_.kv_heads * spec_.head_dim * size_of(in[1].dtype));
  return {2 * pairs * both_widths(spec_),
          keys * key_bytes + operand_bytes(in.first(1)) + operand_bytes(out)};
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
  if (in[2].present) args.v_pool = in[2].as<double>();
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
