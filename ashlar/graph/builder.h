// Builds a graph: keeps the path of the layer being described, from which values and parameters get
// their names. Ops are free functions that take a Builder (graph/ops/*.h).
#pragma once

#include "ashlar/graph/graph.h"

#include <string>
#include <utility>
#include <vector>

namespace ashlar::graph {

class Builder {
 public:
  explicit Builder(Graph& graph, Phase phase = Phase::kForward) : graph_(graph), phase_(phase) {}

  Graph& graph() { return graph_; }
  const ValueType& type(ValueId id) const { return graph_.type(id); }

  // Everything made while a Scope lives is named below its path.
  class Scope {
   public:
    Scope(Builder& builder, const std::string& part, int layer);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Builder& builder_;
    size_t length_;
    int layer_;
  };
  Scope scope(const std::string& part) { return {*this, part, layer_}; }
  Scope layer_scope(const std::string& part, int layer) { return {*this, part, layer}; }
  std::string path(const std::string& leaf) const {
    return path_.empty() ? leaf : path_ + "." + leaf;
  }
  int layer() const { return layer_; }

  ValueId input(const std::string& name, DType dtype, SymShape shape) {
    return graph_.add_input(name, {dtype, std::move(shape)});
  }
  // A parameter below the current path; asked for twice (tied weights), it is the same one.
  ValueId parameter(const std::string& leaf, Shape shape, std::vector<std::string> dims, Init init,
                    DType dtype = DType::kF32);
  ValueId constant(const std::string& leaf, Shape shape, std::vector<float> data);

  std::vector<ValueId> apply(OpPtr op, std::vector<ValueId> inputs, const std::string& leaf);
  ValueId apply1(OpPtr op, std::vector<ValueId> inputs, const std::string& leaf) {
    return apply(std::move(op), std::move(inputs), leaf)[0];
  }

 private:
  friend class GradientContext;
  Graph& graph_;
  Phase phase_;
  int layer_ = -1;
  std::string path_;
};

}  // namespace ashlar::graph
