#include "ashlar/generate/open_model.h"

#include "ashlar/base/error.h"
#include "ashlar/bundle/load_weights.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/pack.h"
#include "ashlar/runtime/pack_weights.h"

namespace ashlar::generate {
namespace {

int64_t blocks_for(int64_t tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }

}  // namespace

ModelOptions resolve(const ModelOptions& options, const models::DecoderConfig& config) {
  ModelOptions resolved = options;
  if (resolved.limits.context == 0) resolved.limits.context = config.max_positions;
  ASHLAR_CHECK(resolved.limits.context > 0 && resolved.limits.context <= config.max_positions,
               "context: {} tokens asked for, the model has positions for {}",
               resolved.limits.context, config.max_positions);
  if (resolved.blocks == 0) resolved.blocks = blocks_for(resolved.limits.context);
  return resolved;
}

graph::Graph build_serving_graph(const models::DecoderConfig& config, const ModelOptions& options) {
  models::ServingSpec spec;
  spec.blocks = options.blocks;
  spec.table_width = blocks_for(options.limits.context);
  spec.pool = options.cache;
  models::DecoderOptions decoder;
  decoder.weights = decoder.activations = options.compute;
  return passes::fuse(models::build_serving(config, spec, decoder));
}

std::unique_ptr<ModelRunner> open_model(const bundle::Bundle& bundle, const ModelOptions& options,
                                        const kernels::KernelTable& table, ThreadPool& pool) {
  const ModelOptions resolved = resolve(options, bundle.config());
  graph::Graph graph = passes::pack(build_serving_graph(bundle.config(), resolved), table);
  runtime::VariableStore weights;
  bundle::load_weights(
      bundle.open_weights(), bundle.config(), graph, bundle::Storage::kMapped, bundle.path(),
      [&](const std::string& name, Tensor tensor) { weights.put(name, std::move(tensor)); });
  // The mapped pages of a weight go once its packed copy is made.
  runtime::pack_weights(graph, weights, table, pool, [](const std::string&) {});
  return std::make_unique<ModelRunner>(std::move(graph), resolved.limits, weights, table, pool);
}

}  // namespace ashlar::generate
