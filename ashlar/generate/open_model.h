// From a model folder to something that runs: builds the serving graph of its config, loads the
// weights (mapped where dtype and layout allow) and makes a runner.
#pragma once

#include "ashlar/bundle/bundle.h"
#include "ashlar/generate/model_runner.h"
#include "ashlar/passes/store_weights.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

namespace ashlar::generate {

// How a model's matrices are held, and what is computed from them.
struct HeldWeights {
  DType dtype = DType::kF32;         // of most of those in layers
  DType compute = DType::kF32;       // of activations
  DType cache = DType::kF32;         // of keys and values
  passes::WeightFormat format = {};  // of each; none: all as what is computed
};
// All in one dtype, as far as their rows allow (passes::all_in): f32 and bf16 compute in it; f16
// and blocks in f32, with keys and values as f16.
HeldWeights held_as(DType dtype);
// As asked. Where nothing is, as the file holds them: blocks, f16 and bf16 stay what they are and
// everything is computed in f32, which gives the bits of weights widened to f32. Keys and values
// are f16 beside those of a GGUF file, as its users know it, and f32 elsewhere.
HeldWeights held_weights(const bundle::Bundle& bundle, std::optional<DType> asked);

struct ModelOptions {
  RunnerLimits limits;          // context 0: the model's
  int64_t blocks = 0;           // of the cache; 0: enough for one sequence of the whole context
  DType compute = DType::kF32;  // of activations, and of matrices in no format of their own
  passes::WeightFormat weights = {};  // how matrices are held; none: as what is computed
  DType wanted = DType::kF32;         // what that is for most, as far as it can be held
  DType cache = DType::kF32;          // f32, bf16 or f16
  bool pack_later = false;            // weights in blocks are packed between the first runs

  void set_dtype(DType dtype);  // held_as
  void hold(const HeldWeights& held);
};

// The options with every 0 replaced. Throws Error for a context beyond the model's.
ModelOptions resolve(const ModelOptions& options, const models::DecoderConfig& config);

// What most weights of the layers are held in.
DType most_held(const graph::Graph& serving);

// options: resolved.
graph::Graph build_serving_graph(const models::DecoderConfig& config, const ModelOptions& options);

// Blocks of the cache that so many tokens of one sequence fill.
int64_t blocks_for(int64_t tokens);

// How far loading is: what it does, and which part of that is done. May throw to end it.
using OnLoading = std::function<void(std::string_view stage, double fraction)>;

// Table and pool outlive the runner. Throws Error naming the tensor that is missing or wrong.
std::unique_ptr<ModelRunner> open_model(const bundle::Bundle& bundle, const ModelOptions& options,
                                        const kernels::KernelTable& table, ThreadPool& pool,
                                        const OnLoading& on_loading = nullptr);

}  // namespace ashlar::generate
