// How an inference graph holds its weights: matrices that linear layers read and embedding tables
// may lie in memory as blocks of few bits (tensor/blocks.h), which the kernels multiply as they
// are. What is computed from them stays in the graph's own dtype.
#pragma once

#include "ashlar/graph/graph.h"

#include <functional>

namespace ashlar::passes {

enum class WeightUse : uint8_t { kLinear, kExperts, kEmbedding, kHead };

// The dtype of a parameter whose rows go by `use`; kHead: a linear layer whose outputs are a
// vocabulary, its table read as an embedding too or not.
using WeightFormat = std::function<DType(const graph::Variable& parameter, WeightUse use)>;

// Keeps what a weight cannot be held in as it is: rows that are no whole blocks, formats that the
// kernels do not multiply. Routers of experts and tables of positions are never asked about.
graph::Graph store_weights(const graph::Graph& inference, const WeightFormat& format);

// All weights in one format, as far as their rows allow: those of 256 fall back to q8_0. Of formats
// below eight bits embedding and head get more: q6_k, or q8_0 where rows are no multiple of 256.
WeightFormat all_in(DType format);

}  // namespace ashlar::passes
