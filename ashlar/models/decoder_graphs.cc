#include "ashlar/models/decoder_graphs.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/loss.h"
#include "ashlar/graph/ops/moe_load.h"
#include "ashlar/graph/ops/rows.h"
#include "ashlar/graph/ops/softcap.h"

namespace ashlar::models {
namespace {

using graph::Builder;
using graph::Dim;
using graph::Graph;
using graph::Symbol;
using graph::ValueId;

DecoderInputs token_inputs(Builder& b, const DecoderConfig& config) {
  DecoderInputs inputs{b.input("tokens", DType::kI32, {Symbol::kTokens}),
                       b.input("positions", DType::kI32, {Symbol::kTokens})};
  if (config.token_types > 0) {
    inputs.token_types = b.input("token_types", DType::kI32, {Symbol::kTokens});
  }
  return inputs;
}

ValueId row_start_input(Builder& b) {
  return b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
}

void mark_loss(Builder& b, const DecoderConfig& config, const DecoderOptions& options) {
  const DecoderInputs inputs = token_inputs(b, config);
  BatchKeys keys(row_start_input(b));
  const ValueId targets = b.input("targets", DType::kI32, {Symbol::kTokens});
  const ValueId scale = b.input("loss_scale", DType::kF32, {1});
  const DecoderStates states = hidden_states(b, config, options, inputs, keys);
  const ValueId x = head_input(b, config, options, states.hidden);
  const ValueId head = head_weight(b, config, options);
  b.graph().mark_output("loss", linear_cross_entropy(b, x, head, targets, scale, "loss",
                                                     head_bias(b, config), config.logit_softcap));
  if (!states.expert_load.valid()) return;
  const ValueId aux_scale = b.input("aux_scale", DType::kF32, {1});
  const graph::BalanceSpec balance{config.mixture.per_token, config.mixture.coefficient};
  b.graph().mark_output("aux_loss",
                        moe_balance(b, states.expert_load, aux_scale, balance, "aux_loss"));
}

void mark_logits(Builder& b, const DecoderConfig& config, const DecoderOptions& options,
                 const DecoderInputs& inputs, KeySource& keys) {
  const ValueId rows = b.input("output_rows", DType::kI32, {Symbol::kOutputs});
  const ValueId x = hidden_states(b, config, options, inputs, keys).hidden;
  const ValueId chosen =
      head_input(b, config, options, gather_rows(b, x, rows, {}, options.activations, "output"));
  const ValueId head = head_weight(b, config, options);
  const ValueId logits =
      linear(b, chosen, head, {.bias = head_bias(b, config)}, "head", DType::kF32);
  b.graph().mark_output("logits", softcap(b, logits, config.logit_softcap, "logit_softcap"));
}

// What acts in training alone, so that only training refuses it.
void check_trainable(const DecoderConfig& config) {
  ASHLAR_CHECK(config.layerdrop == 0,
               "training {}: layerdrop = {} (whole layers left out at random) is not supported; "
               "set it to 0 in config.json",
               config.family, config.layerdrop);
  ASHLAR_CHECK(config.mixture.jitter == 0,
               "training {}: router_jitter_noise = {} (noise on what the router reads) is not "
               "supported; set it to 0 in config.json",
               config.family, config.mixture.jitter);
}

}  // namespace

Graph build_training(const DecoderConfig& config, const DecoderOptions& options) {
  check_trainable(config);
  Graph graph;
  Builder b(graph);
  mark_loss(b, config, options);
  return graph;
}

std::vector<ValueId> training_losses(const Graph& graph) {
  std::vector<ValueId> losses;
  for (const char* name : {"loss", "aux_loss"}) {
    const auto found = graph.outputs().find(name);
    if (found != graph.outputs().end()) losses.push_back(found->second);
  }
  return losses;
}

Graph build_evaluation(const DecoderConfig& config, const DecoderOptions& options) {
  return build_training(config.as_inference(), options);
}

Graph build_logits(const DecoderConfig& config, const DecoderOptions& options) {
  Graph graph;
  Builder b(graph);
  const DecoderInputs inputs = token_inputs(b, config);
  BatchKeys keys(row_start_input(b));
  mark_logits(b, config.as_inference(), options, inputs, keys);
  return graph;
}

Graph build_hidden(const DecoderConfig& config, const DecoderOptions& options) {
  Graph graph;
  Builder b(graph);
  const DecoderInputs inputs = token_inputs(b, config);
  BatchKeys keys(row_start_input(b));
  const ValueId x = hidden_states(b, config.as_inference(), options, inputs, keys).hidden;
  const bool narrow = options.activations != DType::kF32;
  graph.mark_output("hidden", narrow ? cast(b, x, DType::kF32, "hidden") : x);
  return graph;
}

Graph build_serving(const DecoderConfig& config, const ServingSpec& spec,
                    const DecoderOptions& options) {
  Graph graph;
  Builder b(graph);
  const DecoderInputs inputs = token_inputs(b, config);
  graph::PagedBatch batch;
  batch.row_start = row_start_input(b);
  batch.context = b.input("context", DType::kI32, {Symbol::kSeqs});
  batch.block_table = b.input("block_table", DType::kI32, {Symbol::kSeqs, spec.table_width});
  batch.slots = b.input("slots", DType::kI32, {Symbol::kTokens});
  PagedKeys keys(batch, spec.blocks, spec.pool);
  mark_logits(b, config.as_inference(), options, inputs, keys);
  return graph;
}

}  // namespace ashlar::models
