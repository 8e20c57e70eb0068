// Writes the backward pass of a graph as ordinary ops behind it: gradients of activations are nodes
// of phase B, those of parameters nodes of phase W that add to gradient Variables ("NAME.grad").
// Each node is named after the forward node it belongs to and carries its layer.
#pragma once

#include "ashlar/graph/graph.h"

#include <map>
#include <vector>

namespace ashlar::passes {

// loss: the f64 [1] value of a loss op; several: their sum is differentiated. Returns the gradient
// Variable of each trainable parameter the loss depends on.
std::map<graph::VariableId, graph::VariableId> differentiate(graph::Graph& graph,
                                                             graph::ValueId loss);
std::map<graph::VariableId, graph::VariableId> differentiate(
    graph::Graph& graph, const std::vector<graph::ValueId>& losses);

}  // namespace ashlar::passes
