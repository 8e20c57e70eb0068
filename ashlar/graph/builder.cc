#include "ashlar/graph/builder.h"

#include "ashlar/base/error.h"

namespace ashlar::graph {

Builder::Scope::Scope(Builder& builder, const std::string& part, int layer)
    : builder_(builder), length_(builder.path_.size()), layer_(builder.layer_) {
  builder_.path_ = builder_.path(part);
  builder_.layer_ = layer;
}

Builder::Scope::~Scope() {
  builder_.path_.resize(length_);
  builder_.layer_ = layer_;
}

ValueId Builder::parameter(const std::string& leaf, Shape shape, std::vector<std::string> dims,
                           Init init, DType dtype) {
  const std::string name = path(leaf);
  if (const auto existing = graph_.find_variable(name)) {
    ASHLAR_CHECK(graph_.variable(*existing).shape == shape,
                 "parameter {}: asked for as {}, already made as {}", name, shape.str(),
                 graph_.variable(*existing).shape.str());
    return graph_.current(*existing);
  }
  Variable variable;
  variable.name = name;
  variable.kind = VariableKind::kParameter;
  variable.dtype = dtype;
  variable.shape = shape;
  variable.dims = std::move(dims);
  variable.init = std::move(init);
  return graph_.current(graph_.add_variable(std::move(variable)));
}

ValueId Builder::constant(const std::string& leaf, Shape shape, std::vector<float> data) {
  const std::string name = path(leaf);
  if (const auto existing = graph_.find_variable(name)) return graph_.current(*existing);
  Variable variable;
  variable.name = name;
  variable.kind = VariableKind::kConstant;
  variable.shape = shape;
  variable.trainable = false;
  variable.init.kind = Init::Kind::kData;
  variable.init.data = std::move(data);
  return graph_.current(graph_.add_variable(std::move(variable)));
}

std::vector<ValueId> Builder::apply(OpPtr op, std::vector<ValueId> inputs,
                                    const std::string& leaf) {
  return graph_.add_node(std::move(op), std::move(inputs), phase_, layer_, path(leaf));
}

}  // namespace ashlar::graph
