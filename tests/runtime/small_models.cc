#include "tests/runtime/small_models.h"

#include "ashlar/base/philox.h"
#include "ashlar/graph/ops/attention.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/grouped_linear.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/loss.h"
#include "ashlar/graph/ops/moe_assign.h"
#include "ashlar/graph/ops/moe_load.h"
#include "ashlar/graph/ops/moe_route.h"
#include "ashlar/graph/ops/moe_rows.h"
#include "ashlar/graph/ops/norm.h"
#include "ashlar/graph/ops/rope.h"
#include "ashlar/graph/ops/rows.h"

#include <algorithm>
#include <cmath>

namespace ashlar::testing {
namespace {

using namespace graph;  // NOLINT: a test helper that writes a model

constexpr float kStd = 0.3f;

ValueId weight(Builder& b, const std::string& name, int64_t out, int64_t in) {
  return b.parameter(name, {out, in}, {"out", "in"}, {Init::Kind::kNormal, kStd, {}});
}

ValueId vector(Builder& b, const std::string& name, int64_t size, Init::Kind kind) {
  return b.parameter(name, {size}, {"embed"}, {kind, kStd, {}});
}

ValueId norm(Builder& b, const SmallModelOptions& o, ValueId x, const std::string& name) {
  const ValueId scale = vector(b, name + ".weight", o.width, Init::Kind::kNormal);
  if (!o.layer_norm) return rms_norm(b, x, scale, 1e-6, name);
  return layer_norm(b, x, scale, vector(b, name + ".bias", o.width, Init::Kind::kNormal), 1e-5,
                    name);
}

ValueId project(Builder& b, const SmallModelOptions& o, ValueId x, int64_t out, int64_t in,
                const std::string& name) {
  LinearOptions options;
  if (o.layer_norm) options.bias = vector(b, name + ".bias", out, Init::Kind::kNormal);
  return linear(b, x, weight(b, name + ".weight", out, in), options, name);
}

std::vector<float> rope_table(int64_t positions, int64_t dim) {
  std::vector<float> table(static_cast<size_t>(positions * dim));
  for (int64_t p = 0; p < positions; ++p) {
    for (int64_t i = 0; i < dim / 2; ++i) {
      const double angle = static_cast<double>(p) /
                           std::pow(100.0, 2.0 * static_cast<double>(i) / static_cast<double>(dim));
      table[static_cast<size_t>(p * dim + i)] = static_cast<float>(std::cos(angle));
      table[static_cast<size_t>(p * dim + dim / 2 + i)] = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

// x goes on to two of the experts; their sum is added to it. load: of the layers so far.
ValueId mixture(Builder& b, const SmallModelOptions& o, ValueId x, ValueId h, ValueId& load) {
  const auto expert = [&](ValueId rows, int64_t out, int64_t in, const std::string& name,
                          ValueId offsets) {
    const ValueId w = b.parameter(name + ".weight", {o.experts, out, in}, {"expert", "out", "in"},
                                  {Init::Kind::kNormal, kStd, {}});
    return grouped_linear(b, rows, w, offsets, name);
  };
  const ValueId logits =
      linear(b, h, weight(b, "router.weight", o.experts, o.width), {}, "router", DType::kF32);
  const Route route = moe_route(b, logits, {2, true}, "route");
  if (o.balance > 0) load = moe_load(b, logits, route.experts, load, "load");
  const Assignment a = moe_assign(b, route.experts, route.weights, {o.experts}, "assign");
  const ValueId rows = moe_dispatch(b, h, a.slots, a.sources, "dispatch");
  const ValueId inner =
      gated(b, expert(rows, o.ffn, o.width, "gate", a.offsets),
            expert(rows, o.ffn, o.width, "up", a.offsets), kernels::Activation::kSilu, "swiglu");
  const ValueId down = expert(inner, o.width, o.ffn, "down", a.offsets);
  const ValueId y = moe_combine(b, down, route.weights, a.slots, a.sources, {}, "combine");
  return add(b, x, y, "residual2");
}

ValueId block(Builder& b, const SmallModelOptions& o, ValueId x, ValueId positions,
              ValueId row_start, ValueId& load) {
  const int64_t dim = o.width / o.heads;
  const ValueId h = norm(b, o, x, "norm1");
  ValueId q = project(b, o, h, o.heads * dim, o.width, "q");
  ValueId k = project(b, o, h, o.kv_heads * dim, o.width, "k");
  const ValueId v = project(b, o, h, o.kv_heads * dim, o.width, "v");
  if (!o.layer_norm) {
    const ValueId table = b.constant("table", {64, dim}, rope_table(64, dim));
    q = rope(b, q, positions, table, {o.heads, dim, dim, false}, "rope_q");
    k = rope(b, k, positions, table, {o.kv_heads, dim, dim, false}, "rope_k");
  }
  AttentionSpec spec{o.heads, o.kv_heads, dim, {}};
  spec.mask.scale = 1.0f / std::sqrt(static_cast<float>(dim));
  spec.dropout = o.dropout;
  const ValueId out = attention(b, q, k, v, row_start, spec, "attention");
  ValueId projected = project(b, o, out, o.width, o.heads * dim, "o");
  projected = dropout(b, projected, o.dropout, "dropout1");
  const ValueId middle = add(b, x, projected, "residual1");

  const ValueId h2 = norm(b, o, middle, "norm2");
  if (o.experts > 0) return mixture(b, o, middle, h2, load);
  ValueId inner;
  if (o.layer_norm) {
    inner = activation(b, project(b, o, h2, o.ffn, o.width, "up"), kernels::Activation::kGeluTanh,
                       "gelu");
  } else {
    inner = gated(b, project(b, o, h2, o.ffn, o.width, "gate"),
                  project(b, o, h2, o.ffn, o.width, "up"), kernels::Activation::kSilu, "swiglu");
  }
  const ValueId down =
      dropout(b, project(b, o, inner, o.width, o.ffn, "down"), o.dropout, "dropout2");
  return add(b, middle, down, "residual2");
}

}  // namespace

Graph small_model(const SmallModelOptions& o) {
  Graph graph;
  Builder b(graph);
  const ValueId tokens = b.input("tokens", DType::kI32, {Symbol::kTokens});
  const ValueId positions = b.input("positions", DType::kI32, {Symbol::kTokens});
  const ValueId row_start = b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
  const ValueId targets = b.input("targets", DType::kI32, {Symbol::kTokens});
  const ValueId scale = b.input("loss_scale", DType::kF32, {1});

  const ValueId embedding = weight(b, "embed.weight", o.vocab, o.width);
  ValueId x = gather_rows(b, embedding, tokens, {}, DType::kF32, "embed");
  if (o.layer_norm) {
    x = gather_rows(b, weight(b, "position.weight", 64, o.width), positions, x, DType::kF32,
                    "position");
  }
  ValueId load;
  for (int64_t layer = 0; layer < o.layers; ++layer) {
    const auto scope = b.layer_scope("layers." + std::to_string(layer), static_cast<int>(layer));
    x = block(b, o, x, positions, row_start, load);
  }
  x = norm(b, o, x, "norm");
  const ValueId head = o.tied ? embedding : weight(b, "head.weight", o.vocab, o.width);
  graph.mark_output("loss", linear_cross_entropy(b, x, head, targets, scale, "loss"));
  if (o.balance > 0) {
    const ValueId aux_scale = b.input("aux_scale", DType::kF32, {1});
    graph.mark_output("aux_loss", moe_balance(b, load, aux_scale, {2, o.balance}, "aux_loss"));
  }
  return graph;
}

SmallBatch small_batch(const SmallModelOptions& o, std::vector<int32_t> lengths, uint64_t seed) {
  SmallBatch batch;
  const RandomStream random(seed, "small_batch");
  batch.row_start = {0};
  uint64_t draw = 0;
  int valid = 0;
  for (const int32_t length : lengths) {
    for (int32_t i = 0; i < length; ++i) {
      batch.tokens.push_back(
          static_cast<int32_t>(random.below(draw++, static_cast<uint64_t>(o.vocab))));
      batch.positions.push_back(i);
      const bool counted = random.below(draw++, 4) != 0;
      batch.targets.push_back(
          counted ? static_cast<int32_t>(random.below(draw++, static_cast<uint64_t>(o.vocab)))
                  : -1);
      valid += counted ? 1 : 0;
    }
    batch.row_start.push_back(static_cast<int32_t>(batch.tokens.size()));
  }
  batch.scale = 1.0f / static_cast<float>(std::max(valid, 1));
  batch.bindings[Symbol::kTokens] = static_cast<int64_t>(batch.tokens.size());
  batch.bindings[Symbol::kSeqs] = static_cast<int64_t>(lengths.size());
  return batch;
}

void set_inputs(runtime::ReferenceRun& run, const SmallBatch& batch) {
  run.set_input("tokens", batch.tokens);
  run.set_input("positions", batch.positions);
  run.set_input("row_start", batch.row_start);
  run.set_input("targets", batch.targets);
  run.set_input("loss_scale", std::vector<double>{static_cast<double>(batch.scale)});
}

void bind_inputs(runtime::Executor& executor, const SmallBatch& batch) {
  executor.bind_input("tokens", batch.tokens.data());
  executor.bind_input("positions", batch.positions.data());
  executor.bind_input("row_start", batch.row_start.data());
  executor.bind_input("targets", batch.targets.data());
  executor.bind_input("loss_scale", &batch.scale);
}

}  // namespace ashlar::testing
