// Fills the parameters of a graph from a model's tensors: splits, transposes and converts as the
// family's weight rules say. A graph may be a rank's: of parameters it holds parts of, just those
// are read. The tensors must be exactly the ones the config asks for; any that is missing, left
// over or of another shape is named before anything is loaded.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/bundle/weights.h"
#include "ashlar/graph/graph.h"
#include "ashlar/models/family.h"

#include <cstdint>
#include <functional>
#include <string>

namespace ashlar::bundle {

enum class Storage : uint8_t {
  kOwn,     // memory of its own: parameters that training changes
  kMapped,  // the file's pages where dtype and layout allow; never written
};

// Throws Error where the tensors are not exactly those that the config asks for.
void check_weights(const Weights& weights, const graph::Graph& graph, const std::string& where);
inline void check_weights(const Weights& weights, const models::DecoderConfig&,
                          const graph::Graph& graph, const std::string& where) {
  check_weights(weights, graph, where);
}

// Receives each parameter in the dtype and shape the graph has for it.
using PutParameter = std::function<void(const std::string& name, Tensor tensor)>;

// where: the model, for messages. To be called before a VariableStore makes what is missing.
// Returns how many bytes of the tensors were read (or mapped). With a pool its threads convert
// tensors side by side: `put` is called by any of them, but one at a time and in no order.
int64_t load_weights(const Weights& weights, const graph::Graph& graph, Storage storage,
                     const std::string& where, const PutParameter& put, ThreadPool* pool = nullptr);
inline int64_t load_weights(const Weights& weights, const models::DecoderConfig&,
                            const graph::Graph& graph, Storage storage, const std::string& where,
                            const PutParameter& put, ThreadPool* pool = nullptr) {
  return load_weights(weights, graph, storage, where, put, pool);
}

}  // namespace ashlar::bundle
