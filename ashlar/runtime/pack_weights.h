// Fills the packed Variables of a graph (passes/pack.h) from their sources, weight by weight, so
// that at most one weight is in memory twice.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/graph/graph.h"
#include "ashlar/runtime/variable_store.h"

#include <functional>

namespace ashlar::runtime {

// Makes "NAME.packed" in the store from "NAME". Sources that no op of the graph reads any more are
// handed to `finished` and taken out of the store; with no `finished` they stay, as they do for
// weights that somebody else goes on using.
void pack_weights(const graph::Graph& graph, VariableStore& store,
                  const kernels::KernelTable& table, ThreadPool& pool,
                  const std::function<void(const std::string& name)>& finished = nullptr);

}  // namespace ashlar::runtime
