#include "ashlar/generate/open_model.h"

#include "ashlar/base/error.h"
#include "ashlar/base/log.h"
#include "ashlar/bundle/load_weights.h"
#include "ashlar/kernels/args.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/pack.h"
#include "ashlar/runtime/pack_weights.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>

namespace ashlar::generate {
namespace {

// Counts the bytes of a graph's parameters as they pass a stage.
class Stage {
 public:
  Stage(std::string_view name, const graph::Graph& graph, const OnLoading& on_loading)
      : name_(name), on_loading_(on_loading) {
    for (const graph::Variable& variable : graph.variables()) {
      if (variable.kind == graph::VariableKind::kParameter) total_ += variable.bytes();
    }
    show();
  }
  void pass(const Tensor& parameter) {
    done_ += static_cast<int64_t>(parameter.bytes());
    show();
  }

 private:
  void show() const {
    if (on_loading_) on_loading_(name_, static_cast<double>(done_) / static_cast<double>(total_));
  }

  std::string_view name_;
  OnLoading on_loading_;
  int64_t done_ = 0, total_ = 0;
};

DType most_of(const std::map<DType, int64_t>& elements) {
  return std::ranges::max_element(elements, {}, &std::pair<const DType, int64_t>::second)->first;
}

// Formats that no kernel multiplies, and rows that are no whole blocks.
void note_other_format(const std::string& model, DType wanted, DType held) {
  if (wanted == held) return;
  const std::string reason = kernels::multiplies(wanted)
                                 ? fmt::format("rows are no multiple of {}", block_elements(wanted))
                                 : "kernels do not multiply it";
  log::warn("model={} note=\"most weights are held as {}, not {}: {}\"", model, name(held),
            name(wanted), reason);
}

}  // namespace

int64_t blocks_for(int64_t tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }

HeldWeights held_as(DType dtype) {
  if (dtype == DType::kF32 || dtype == DType::kBF16) return {dtype, dtype, dtype, {}};
  return {dtype, DType::kF32, DType::kF16, passes::all_in(dtype)};
}

HeldWeights held_weights(const bundle::Bundle& bundle, std::optional<DType> asked) {
  if (asked) return held_as(*asked);
  const bundle::Weights weights = bundle.open_weights();
  std::map<std::string, DType> of_file;
  std::map<DType, int64_t> elements;
  for (const models::WeightRule& rule : weights.rules()) {
    const std::string tensor = weights.name_of(rule);
    if (!weights.contains(tensor)) continue;
    const formats::TensorSpec& spec = weights.entry(tensor);
    const bool narrow = spec.dtype == DType::kF16 || spec.dtype == DType::kBF16;
    if (!narrow && (!is_block(spec.dtype) || rule.transpose)) continue;
    for (const std::string& parameter : rule.parameters) of_file[parameter] = spec.dtype;
    const std::string& first = rule.parameters.front();
    const bool edge = first == "embed.weight" || first == "head.weight";
    elements[spec.dtype] += edge ? 0 : spec.shape.elements();
  }
  if (of_file.empty()) return {};
  const DType cache = bundle.gguf() != nullptr ? DType::kF16 : DType::kF32;
  return {most_of(elements), DType::kF32, cache,
          [of_file](const graph::Variable& variable, passes::WeightUse) {
            const auto found = of_file.find(variable.name);
            return found == of_file.end() ? variable.dtype : found->second;
          }};
}

void ModelOptions::set_dtype(DType dtype) { hold(held_as(dtype)); }

void ModelOptions::hold(const HeldWeights& held) {
  compute = held.compute;
  cache = held.cache;
  weights = held.format;
  wanted = held.dtype;
}

DType most_held(const graph::Graph& serving) {
  std::map<DType, int64_t> elements;
  for (const graph::Variable& variable : serving.variables()) {
    if (variable.kind != graph::VariableKind::kParameter) continue;
    const bool edge = !variable.dims.empty() && variable.dims.front() == "vocab";
    elements[variable.dtype] += edge ? 0 : variable.shape.elements();
  }
  return most_of(elements);
}

ModelOptions resolve(const ModelOptions& options, const models::DecoderConfig& config) {
  ModelOptions resolved = options;
  if (resolved.limits.context == 0) resolved.limits.context = config.max_positions;
  ASHLAR_CHECK(resolved.limits.context > 0 && resolved.limits.context <= config.max_positions,
               "context: {} tokens asked for, the model has positions for {}; ask for at most {}",
               resolved.limits.context, config.max_positions, config.max_positions);
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
  const graph::Graph graph = passes::fuse(models::build_serving(config, spec, decoder));
  return options.weights ? passes::store_weights(graph, options.weights) : graph;
}

std::unique_ptr<ModelRunner> open_model(const bundle::Bundle& bundle, const ModelOptions& options,
                                        const kernels::KernelTable& table, ThreadPool& pool,
                                        const OnLoading& on_loading) {
  const ModelOptions resolved = resolve(options, bundle.config());
  graph::Graph graph = build_serving_graph(bundle.config(), resolved);
  if (is_block(resolved.wanted)) {
    note_other_format(bundle.path(), resolved.wanted, most_held(graph));
  }
  graph = passes::pack(std::move(graph), table);
  runtime::VariableStore weights;
  Stage reading("reading weights", graph, on_loading);
  const bundle::Weights files = bundle.open_weights();
  bundle::load_weights(
      files, bundle.config(), graph, bundle::Storage::kMapped, bundle.path(),
      [&](const std::string& name, Tensor tensor) {
        reading.pass(tensor);
        weights.put(name, std::move(tensor));
      },
      &pool);
  std::map<std::string, std::string> tensors;  // by parameter
  for (const models::WeightRule& rule : files.rules()) {
    const std::string tensor = files.name_of(rule);
    for (const std::string& name : rule.parameters) tensors[name] = tensor;
  }
  std::shared_ptr<Stage> packing;
  if (!resolved.pack_later) {
    packing = std::make_shared<Stage>("packing weights", graph, on_loading);
  }
  // The mapped pages of a weight go once its packed copy is made.
  runtime::WeightPacker packer(
      graph, weights, table, pool,
      [files, tensors, packing](const std::string& name, const Tensor& source) {
        if (packing) packing->pass(source);
        files.file().release(tensors.at(name));
      });
  resolved.pack_later ? packer.put_off(weights) : packer.pack_rest(weights);
  return std::make_unique<ModelRunner>(std::move(graph), resolved.limits, weights, table, pool,
                                       std::move(packer));
}

}  // namespace ashlar::generate
