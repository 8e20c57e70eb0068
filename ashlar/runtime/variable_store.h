// The storage of Variables, by name: graphs that name the same Variable (training, evaluation,
// sampling) share it. Parameters start from their Init or from a file.
#pragma once

#include "ashlar/graph/graph.h"
#include "ashlar/tensor/tensor.h"

#include <map>
#include <string>

namespace ashlar::runtime {

class VariableStore {
 public:
  explicit VariableStore(uint64_t seed = 0) : seed_(seed) {}

  // Makes storage for the Variables the graph reads (and sources of shadows it reads) that are not
  // there yet, initialised by (seed, name, element); a Variable already there must have the same
  // dtype and shape, or a packed one those of its source.
  void add_missing(const graph::Graph& graph);
  // Puts a tensor in place of a Variable's storage (mapped weights: no copy).
  void put(const std::string& name, Tensor tensor) { tensors_[name] = std::move(tensor); }
  void erase(const std::string& name) { tensors_.erase(name); }

  bool contains(const std::string& name) const { return tensors_.contains(name); }
  // Throws when there is none of that name.
  Tensor& at(const std::string& name);
  const Tensor& at(const std::string& name) const;
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }

  // Rounds every shadow of the graph anew from its source; after parameters were loaded. Throws
  // where this rank has but a shard of a source: train/shadows.h.
  void refresh_shadows(const graph::Graph& graph);
  void refresh_shadow(const graph::Graph& graph, const graph::Variable& shadow);

  int64_t bytes() const;

 private:
  void add_blocks(const graph::Graph& graph);

  uint64_t seed_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace ashlar::runtime
