#include "ashlar/graph/ops/rope.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/rope.h"

namespace ashlar::graph {
namespace ref = kernels::ref;

std::string RopeOp::attributes() const {
  return fmt::format("heads={} dim={} rotary={}{}{}", spec_.heads, spec_.head_dim, spec_.rotary_dim,
                     spec_.rotary_begin > 0 ? fmt::format(" from {}", spec_.rotary_begin) : "",
                     spec_.interleaved ? " interleaved" : "");
}

std::vector<ValueType> RopeOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 3);
  check_rank(kind(), "x", in[0], 2);
  ASHLAR_CHECK(in[0].shape[1] == Dim(spec_.heads * spec_.head_dim),
               "rope: x is {}, wanted width {} heads x {}", in[0].str(), spec_.heads,
               spec_.head_dim);
  ASHLAR_CHECK(spec_.rotary_begin >= 0 && spec_.rotary_begin + spec_.rotary_dim <= spec_.head_dim,
               "rope: channels {} to {} of a head of size {}", spec_.rotary_begin,
               spec_.rotary_begin + spec_.rotary_dim, spec_.head_dim);
  check_type(kind(), "positions", in[1], {DType::kI32, {in[0].shape[0]}});
  check_rank(kind(), "table", in[2], 2);
  ASHLAR_CHECK(in[2].shape[1] == Dim(spec_.rotary_dim), "rope: table is {}, wanted width {}",
               in[2].str(), spec_.rotary_dim);
  return {in[0]};
}

void RopeOp::gradient(GradientContext& context) const {
  if (!context.wants(0)) return;
  context.set(0, context.apply(std::make_shared<RopeOp>(spec_, !inverse_),
                               {context.grad(0), context.input(1), context.input(2)}, "grad")[0]);
}

std::vector<AxisStrategy> RopeOp::strategies(const AxisSite&) const {
  return {{{rows(), rows(), whole()}, {rows()}}, {{columns(), whole(), whole()}, {columns()}}};
}

OpPtr RopeOp::local(const LocalSite& site) const {
  const int parts = site.cut(0, 1).parts;
  if (parts == 1) return nullptr;
  ASHLAR_CHECK(spec_.heads % parts == 0,
               "rope {}: {} heads cannot be dealt to {} ranks: use a number that divides them",
               site.label, spec_.heads, parts);
  RopeSpec spec = spec_;
  spec.heads /= parts;
  return std::make_shared<RopeOp>(spec, inverse_);
}

void RopeOp::run(const KernelCall& call) const {
  const Operand& x = call.inputs[0];
  kernels::RopeArgs args;
  args.tokens = x.shape[0];
  args.heads = spec_.heads;
  args.head_dim = spec_.head_dim;
  args.rotary_begin = spec_.rotary_begin;
  args.rotary_dim = spec_.rotary_dim;
  args.dtype = x.dtype;
  args.x = x.data;
  args.x_stride = x.shape[1];
  args.positions = call.inputs[1].as<int32_t>();
  args.table = call.inputs[2].as<float>();
  args.y = call.outputs[0].data;
  args.interleaved = spec_.interleaved;
  args.inverse = inverse_;
  call.table.rope(args, call.team);
}

void RopeOp::reference(const ReferenceCall& call) const {
  const Operand& x = call.inputs[0];
  ref::RopeArgs args;
  args.tokens = x.shape[0];
  args.heads = spec_.heads;
  args.head_dim = spec_.head_dim;
  args.rotary_begin = spec_.rotary_begin;
  args.rotary_dim = spec_.rotary_dim;
  args.x = x.as<double>();
  args.x_stride = x.shape[1];
  args.positions = call.inputs[1].as<int32_t>();
  args.table = call.inputs[2].as<double>();
  args.y = call.outputs[0].as<double>();
  args.interleaved = spec_.interleaved;
  args.inverse = inverse_;
  ref::rope(args);
}

ValueId rope(Builder& b, ValueId x, ValueId positions, ValueId table, const RopeSpec& spec,
             const std::string& name) {
  return b.apply1(std::make_shared<RopeOp>(spec, false), {x, positions, table}, name);
}

}  // namespace ashlar::graph
