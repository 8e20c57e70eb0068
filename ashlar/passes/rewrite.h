// Copies a graph node by node into a new one, so that a pass can leave out, replace or add nodes.
// Types are inferred anew: changing a dtype early changes what follows.
#pragma once

#include "ashlar/graph/graph.h"

#include <functional>

namespace ashlar::passes {

class Rewrite {
 public:
  // Inputs and Variables are copied at once and keep their ids; `change` may alter a Variable.
  using Change = std::function<void(graph::Variable&)>;
  explicit Rewrite(const graph::Graph& source, const Change& change = {});

  const graph::Graph& source() const { return source_; }
  graph::Graph& result() { return result_; }

  graph::ValueId operator()(graph::ValueId old) const;  // where an old value went
  std::vector<graph::ValueId> operator()(const std::vector<graph::ValueId>& old) const;
  void map(graph::ValueId old, graph::ValueId now) {
    mapped_[static_cast<size_t>(old.index)] = now;
  }

  // The node as it is, or with another op or other inputs (ids of the result).
  std::vector<graph::ValueId> copy(const graph::Node& node);
  std::vector<graph::ValueId> copy(const graph::Node& node, graph::OpPtr op,
                                   std::vector<graph::ValueId> inputs);

  // The finished graph, with the source's outputs.
  graph::Graph take();

 private:
  const graph::Graph& source_;
  graph::Graph result_;
  std::vector<graph::ValueId> mapped_;
};

// How many nodes and graph outputs use each value.
std::vector<int> count_uses(const graph::Graph& graph);

}  // namespace ashlar::passes
