#include "ashlar/graph/ops/latent_attention.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/head_gemm.h"
#include "ashlar/kernels/ref/gemm.h"
#include "ashlar/kernels/ref/latent.h"

#include <algorithm>
#include <cstring>

namespace ashlar::graph {
namespace {

using kernels::GemmArgs;
namespace ref = kernels::ref;

std::string text_of(const LatentSpec& spec) {
  return fmt::format("heads={} own={} shared={} value={}{}", spec.heads, spec.own, spec.shared,
                     spec.value, spec.latent > 0 ? fmt::format(" latent={}", spec.latent) : "");
}

void check_width(std::string_view op, std::string_view what, const ValueType& x, int64_t heads,
                 int64_t width) {
  check_rank(op, what, x, 2);
  ASHLAR_CHECK(x.shape[1] == Dim(heads * width), "{}: {} is {}, wanted {} heads x {}", op, what,
               x.str(), heads, width);
}

template <typename Args>
Args keys_args(const LatentSpec& spec, const Operand& any) {
  Args args;
  args.tokens = any.shape[0];
  args.heads = spec.heads;
  args.own = spec.own;
  args.shared = spec.shared;
  args.value = spec.value;
  return args;
}

// The heads that a rank has; null where it has all.
template <typename O>
OpPtr with_local_heads(std::string_view kind, const LatentSpec& spec, const LocalSite& site) {
  const int parts = site.cut(0, 1).parts;
  if (parts == 1) return nullptr;
  ASHLAR_CHECK(spec.heads % parts == 0,
               "{} {}: {} heads cannot be dealt to {} ranks: use a number that divides them", kind,
               site.label, spec.heads, parts);
  LatentSpec local = spec;
  local.heads /= parts;
  return std::make_shared<O>(local);
}

std::byte* at(const Operand& operand, int64_t element) {
  return operand.data == nullptr ? nullptr : operand.data + element * size_of(operand.dtype);
}

// The products of one head with its rows of W, in a kernel's or the reference's arguments.
template <typename Args, typename At>
Args absorb_args(const LatentSpec& s, int64_t head, const Operand& q, const Operand& weight,
                 const Operand& y, const At& data) {
  Args args;
  args.m = q.shape[0];
  args.n = s.latent;
  args.r = s.own;
  args.a = data.view(q, head * s.key(), s.heads * s.key(), 1);
  args.b = data.view(weight, head * (s.own + s.value) * s.latent, s.latent, 1);
  data.result(args, y, head * (s.latent + s.shared), s.heads * (s.latent + s.shared));
  return args;
}
template <typename Args, typename At>
Args expand_args(const LatentSpec& s, int64_t head, const Operand& x, const Operand& weight,
                 const Operand& y, const At& data) {
  Args args;
  args.m = x.shape[0];
  args.n = s.value;
  args.r = s.latent;
  args.a = data.view(x, head * s.latent, s.heads * s.latent, 1);
  args.b = data.view(weight, (head * (s.own + s.value) + s.own) * s.latent, 1, s.latent);
  data.result(args, y, head * s.value, s.heads * s.value);
  return args;
}

struct KernelData {
  kernels::MatrixView view(const Operand& x, int64_t element, int64_t row, int64_t column) const {
    return {at(x, element), x.dtype, row, column};
  }
  void result(GemmArgs& args, const Operand& y, int64_t element, int64_t row) const {
    args.c = at(y, element);
    args.c_dtype = y.dtype;
    args.c_stride = row;
  }
};
struct ReferenceData {
  ref::MatrixView view(const Operand& x, int64_t element, int64_t row, int64_t column) const {
    return {x.as<double>() + element, row, column};
  }
  void result(ref::GemmArgs& args, const Operand& y, int64_t element, int64_t row) const {
    args.c = y.as<double>() + element;
    args.c_stride = row;
  }
};

double head_flops(const LatentSpec& spec, const Operand& x, int64_t width) {
  return 2 * static_cast<double>(x.shape[0]) *
         static_cast<double>(spec.heads * width * spec.latent);
}

void check_weight(std::string_view op, const LatentSpec& spec, const ValueType& weight) {
  check_shape(op, "weight", weight, {spec.heads * (spec.own + spec.value), spec.latent});
}

}  // namespace

// ---------------------------------------------------------------- keys and values
std::string LatentKeysOp::attributes() const { return text_of(spec_); }

std::vector<ValueType> LatentKeysOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2);
  check_width(kind(), "kv", in[0], spec_.heads, spec_.own + spec_.value);
  const Dim tokens = in[0].shape[0];
  check_type(kind(), "shared key", in[1], {in[0].dtype, {tokens, spec_.shared}});
  return {{in[0].dtype, {tokens, spec_.heads * spec_.key()}},
          {in[0].dtype, {tokens, spec_.heads * spec_.value}}};
}

void LatentKeysOp::gradient(GradientContext& context) const {
  if (!context.wants(0) && !context.wants(1)) return;
  const auto grads = context.apply(std::make_shared<LatentKeysGradOp>(spec_),
                                   {context.grad(0), context.grad(1)}, "grad");
  for (const int i : {0, 1}) {
    if (context.wants(i)) context.set(i, grads[static_cast<size_t>(i)]);
  }
}

void LatentKeysOp::run(const KernelCall& call) const {
  auto args = keys_args<kernels::LatentKeysArgs>(spec_, call.inputs[0]);
  args.dtype = call.inputs[0].dtype;
  args.kv = call.inputs[0].data;
  args.shared_key = call.inputs[1].data;
  args.k = call.outputs[0].data;
  args.v = call.outputs[1].data;
  call.table.latent_keys(args, call.team);
}

void LatentKeysOp::reference(const ReferenceCall& call) const {
  auto args = keys_args<ref::LatentKeysArgs>(spec_, call.inputs[0]);
  args.kv = call.inputs[0].as<double>();
  args.shared_key = call.inputs[1].as<double>();
  args.k = call.outputs[0].as<double>();
  args.v = call.outputs[1].as<double>();
  ref::latent_keys(args);
}

std::vector<AxisStrategy> LatentKeysOp::strategies(const AxisSite&) const {
  return {alike(2, 2, rows()), {{columns(), whole()}, {columns(), columns()}}};
}

OpPtr LatentKeysOp::local(const LocalSite& site) const {
  return with_local_heads<LatentKeysOp>(kind(), spec_, site);
}

std::string LatentKeysGradOp::attributes() const { return text_of(spec_); }

std::vector<ValueType> LatentKeysGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2);
  check_width(kind(), "d_k", in[0], spec_.heads, spec_.key());
  const Dim tokens = in[0].shape[0];
  check_type(kind(), "d_v", in[1], {in[0].dtype, {tokens, spec_.heads * spec_.value}});
  return {{in[0].dtype, {tokens, spec_.heads * (spec_.own + spec_.value)}},
          {in[0].dtype, {tokens, spec_.shared}}};
}

void LatentKeysGradOp::run(const KernelCall& call) const {
  auto args = keys_args<kernels::LatentKeysGradArgs>(spec_, call.inputs[0]);
  args.dtype = call.inputs[0].dtype;
  args.d_k = call.inputs[0].data;
  args.d_v = call.inputs[1].data;
  args.d_kv = call.outputs[0].data;
  args.d_shared_key = call.outputs[1].data;
  call.table.latent_keys_grad(args, call.team);
}

void LatentKeysGradOp::reference(const ReferenceCall& call) const {
  auto args = keys_args<ref::LatentKeysGradArgs>(spec_, call.inputs[0]);
  args.d_k = call.inputs[0].as<double>();
  args.d_v = call.inputs[1].as<double>();
  args.d_kv = call.outputs[0].as<double>();
  args.d_shared_key = call.outputs[1].as<double>();
  ref::latent_keys_grad(args);
}

// Where ranks share the heads, each has a term of the shared key's gradient.
std::vector<AxisStrategy> LatentKeysGradOp::strategies(const AxisSite&) const {
  return {alike(2, 2, rows()), {{columns(), columns()}, {columns(), term()}}};
}

OpPtr LatentKeysGradOp::local(const LocalSite& site) const {
  return with_local_heads<LatentKeysGradOp>(kind(), spec_, site);
}

// ---------------------------------------------------------------- queries into latents
std::string AbsorbQueryOp::attributes() const { return text_of(spec_); }

std::vector<ValueType> AbsorbQueryOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2);
  check_width(kind(), "q", in[0], spec_.heads, spec_.key());
  check_weight(kind(), spec_, in[1]);
  return {{in[0].dtype, {in[0].shape[0], spec_.heads * (spec_.latent + spec_.shared)}}};
}

Cost AbsorbQueryOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  return {head_flops(spec_, in[0], spec_.own), Op::cost(in, out).bytes};
}

int64_t AbsorbQueryOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand> out,
                                     const kernels::KernelTable& table, int threads) const {
  return kernels::head_gemm_scratch(
      table, threads, absorb_args<GemmArgs>(spec_, 0, in[0], in[1], out[0], KernelData{}));
}

void AbsorbQueryOp::run(const KernelCall& call) const {
  const Operand &q = call.inputs[0], &y = call.outputs[0];
  kernels::head_gemm(call.table, call.team, spec_.heads, [&](int64_t head) {
    return absorb_args<GemmArgs>(spec_, head, q, call.inputs[1], y, KernelData{});
  });
  // Then the shared channels, token by token.
  const int64_t from = spec_.key(), to = spec_.latent + spec_.shared;
  const auto bytes = static_cast<size_t>(spec_.shared * size_of(q.dtype));
  kernels::parallel_for(call.team, q.shape[0], [&](int64_t t, int) {
    for (int64_t row = t * spec_.heads; row < (t + 1) * spec_.heads; ++row) {
      std::memcpy(at(y, row * to + spec_.latent), at(q, row * from + spec_.own), bytes);
    }
  });
}

void AbsorbQueryOp::reference(const ReferenceCall& call) const {
  const Operand &q = call.inputs[0], &y = call.outputs[0];
  for (int64_t head = 0; head < spec_.heads; ++head) {
    ref::gemm(absorb_args<ref::GemmArgs>(spec_, head, q, call.inputs[1], y, ReferenceData{}));
  }
  for (int64_t row = 0; row < q.shape[0] * spec_.heads; ++row) {
    std::copy_n(q.as<double>() + row * spec_.key() + spec_.own, spec_.shared,
                y.as<double>() + row * (spec_.latent + spec_.shared) + spec_.latent);
  }
}

// ---------------------------------------------------------------- latents into values
std::string ExpandOutputOp::attributes() const { return text_of(spec_); }

std::vector<ValueType> ExpandOutputOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2);
  check_width(kind(), "x", in[0], spec_.heads, spec_.latent);
  check_weight(kind(), spec_, in[1]);
  return {{in[0].dtype, {in[0].shape[0], spec_.heads * spec_.value}}};
}

Cost ExpandOutputOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  return {head_flops(spec_, in[0], spec_.value), Op::cost(in, out).bytes};
}

int64_t ExpandOutputOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand> out,
                                      const kernels::KernelTable& table, int threads) const {
  return kernels::head_gemm_scratch(
      table, threads, expand_args<GemmArgs>(spec_, 0, in[0], in[1], out[0], KernelData{}));
}

void ExpandOutputOp::run(const KernelCall& call) const {
  kernels::head_gemm(call.table, call.team, spec_.heads, [&](int64_t head) {
    return expand_args<GemmArgs>(spec_, head, call.inputs[0], call.inputs[1], call.outputs[0],
                                 KernelData{});
  });
}

void ExpandOutputOp::reference(const ReferenceCall& call) const {
  for (int64_t head = 0; head < spec_.heads; ++head) {
    ref::gemm(expand_args<ref::GemmArgs>(spec_, head, call.inputs[0], call.inputs[1],
                                         call.outputs[0], ReferenceData{}));
  }
}

// ---------------------------------------------------------------- cache write
std::vector<ValueType> LatentWriteOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 4);
  check_rank(kind(), "latent", in[0], 2);
  const Dim tokens = in[0].shape[0];
  check_rank(kind(), "shared key", in[1], 2);
  check_type(kind(), "shared key", in[1], {in[0].dtype, {tokens, in[1].shape[1]}});
  check_type(kind(), "slots", in[2], {DType::kI32, {tokens}});
  check_rank(kind(), "pool", in[3], 3);
  check_shape(
      kind(), "pool", in[3],
      {in[3].shape[0], kernels::kCacheBlock, in[0].shape[1].offset + in[1].shape[1].offset});
  return {in[3]};
}

Cost LatentWriteOp::cost(std::span<const Operand> in, std::span<const Operand>) const {
  const auto elements = static_cast<double>(in[0].shape.elements() + in[1].shape.elements());
  return {0, elements * static_cast<double>(size_of(in[0].dtype) + size_of(in[3].dtype))};
}

void LatentWriteOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  call.table.latent_write({.tokens = in[0].shape[0],
                           .latent = in[0].shape[1],
                           .shared = in[1].shape[1],
                           .dtype = in[0].dtype,
                           .x = in[0].data,
                           .shared_key = in[1].data,
                           .slots = in[2].as<int32_t>(),
                           .pool_dtype = in[3].dtype,
                           .pool = call.outputs[0].data},
                          call.team);
}

void LatentWriteOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  ref::latent_write({in[0].shape[0], in[0].shape[1], in[1].shape[1], in[0].as<double>(),
                     in[1].as<double>(), in[2].as<int32_t>(), call.outputs[0].as<double>()});
}

// ---------------------------------------------------------------- builders
LatentKeysValues latent_keys(Builder& b, ValueId kv, ValueId shared_key, const LatentSpec& spec,
                             const std::string& name) {
  const auto outputs = b.apply(std::make_shared<LatentKeysOp>(spec), {kv, shared_key}, name);
  return {outputs[0], outputs[1]};
}

ValueId paged_latent_attention(Builder& b, ValueId q, ValueId latent, ValueId shared_key,
                               ValueId weight, VariableId pool, const PagedBatch& batch,
                               const LatentSpec& spec, const kernels::AttentionMask& mask,
                               const std::string& name) {
  const ValueId rows =
      b.apply1(std::make_shared<LatentWriteOp>(),
               {latent, shared_key, batch.slots, b.graph().current(pool)}, name + "_write");
  const ValueId query =
      b.apply1(std::make_shared<AbsorbQueryOp>(spec), {q, weight}, name + "_query");
  AttentionSpec attention{spec.heads, 1, spec.latent + spec.shared, mask};
  attention.value_dim = spec.latent;
  const ValueId mixed =
      b.apply1(std::make_shared<PagedAttentionOp>(attention),
               {query, rows, ValueId{}, batch.row_start, batch.context, batch.block_table}, name);
  return b.apply1(std::make_shared<ExpandOutputOp>(spec), {mixed, weight}, name + "_values");
}

}  // namespace ashlar::graph
