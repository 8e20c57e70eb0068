#include "tests/generate/random_model.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/philox.h"
#include "ashlar/models/family.h"
#include "ashlar/passes/pack.h"
#include "ashlar/runtime/pack_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace ashlar::testing {

models::DecoderConfig random_model_config(const RandomModelSizes& sizes) {
  const std::string experts =
      sizes.experts > 0 ? fmt::format(R"("num_local_experts": {}, )", sizes.experts) : "";
  const auto factors = [&](double first) {  // one for each pair of channels
    std::vector<double> values(static_cast<size_t>(sizes.width / sizes.heads / 2));
    for (double& value : values) value = first += 0.25;
    return fmt::format("[{}]", fmt::join(values, ", "));
  };
  const std::string rope =
      sizes.short_positions > 0
          ? fmt::format(R"("rope_scaling": {{"rope_type": "longrope", "short_factor": {},
                           "long_factor": {}, "original_max_position_embeddings": {}}}, )",
                        factors(1), factors(3), sizes.short_positions)
          : "";
  const std::string text = fmt::format(
      R"({{"model_type": "{}", {}{}"hidden_size": {}, "num_hidden_layers": {},
           "num_attention_heads": {}, "num_key_value_heads": {}, "intermediate_size": {},
           "vocab_size": {}, "max_position_embeddings": {}, "rms_norm_eps": 1e-6,
           "hidden_act": "silu", "eos_token_id": 2}})",
      sizes.experts > 0 ? "mixtral" : "llama", experts, rope, sizes.width, sizes.layers,
      sizes.heads, sizes.kv_heads, sizes.ffn, sizes.vocab, sizes.max_positions);
  return models::parse_config(text, "random model");
}

runtime::VariableStore random_weights(const graph::Graph& graph, uint64_t seed) {
  runtime::VariableStore store(seed);
  for (const graph::Variable& variable : graph.variables()) {
    if (variable.kind != graph::VariableKind::kParameter) continue;
    Tensor values(DType::kF32, variable.shape);
    const RandomStream random(seed, variable.name);
    const std::span<float> elements = values.span<float>();
    // Matrices: uniform around 0, so that a row of width C gives numbers near 1. Norms: near 1.
    const int rank = variable.shape.rank();
    const bool matrix = rank >= 2;
    const float scale =
        matrix ? 3.0f / std::sqrt(static_cast<float>(variable.shape[rank - 1])) : 0.2f;
    for (size_t i = 0; i < elements.size(); i += 4) {
      const PhiloxBlock words = random.block(i / 4);
      for (size_t j = i; j < std::min(i + 4, elements.size()); ++j) {
        const float centered = static_cast<float>(words[j - i] >> 8) * 0x1.0p-24f - 0.5f;
        elements[j] = (matrix ? 0.0f : 1.0f) + scale * centered;
      }
    }
    store.put(variable.name, variable.dtype == DType::kF32 ? values : values.to(variable.dtype));
  }
  return store;
}

std::unique_ptr<generate::ModelRunner> random_runner(const RandomModelSizes& sizes,
                                                     const generate::ModelOptions& options,
                                                     ThreadPool& pool) {
  const models::DecoderConfig config = random_model_config(sizes);
  const generate::ModelOptions resolved = resolve(options, config);
  const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
  graph::Graph graph = passes::pack(generate::build_serving_graph(config, resolved), table);
  runtime::VariableStore weights = random_weights(graph, 11);
  runtime::WeightPacker packer(graph, weights, table, pool,
                               [](const std::string&, const Tensor&) {});
  options.pack_later ? packer.put_off(weights) : packer.pack_rest(weights);
  return std::make_unique<generate::ModelRunner>(std::move(graph), resolved.limits, weights, table,
                                                 pool, std::move(packer));
}

}  // namespace ashlar::testing
