#include "ashlar/runtime/variable_store.h"

#include "ashlar/base/error.h"
#include "ashlar/base/philox.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/runtime/stored_variables.h"

#include <algorithm>

namespace ashlar::runtime {
namespace {

graph::VariableId source_of(const graph::Variable& shadow) {
  ASHLAR_CHECK(shadow.source.valid(), "variable {}: a shadow without a source to round from",
               shadow.name);
  return shadow.source;
}

// The number of a part's element in the whole Variable.
size_t whole_index(const graph::Variable& variable, size_t i) {
  if (variable.part.empty()) return i;
  size_t index = 0, stride = 1;
  for (int dim = variable.shape.rank(); dim-- > 0;) {
    const auto length = static_cast<size_t>(variable.shape[dim]);
    const auto offset = static_cast<size_t>(variable.part[static_cast<size_t>(dim)].offset);
    index += (i % length + offset) * stride;
    i /= length;
    stride *= static_cast<size_t>(variable.whole[dim]);
  }
  return index;
}

void fill(Tensor& tensor, const graph::Variable& variable, uint64_t seed) {
  using Kind = graph::Init::Kind;
  const graph::Init& init = variable.init;
  if (init.kind == Kind::kZeros) return;
  Tensor values = tensor.dtype() == DType::kF32 ? tensor : Tensor(DType::kF32, tensor.shape());
  const std::span<float> out = values.span<float>();
  if (init.kind == Kind::kOnes) {
    std::ranges::fill(out, 1.0f);
  } else if (init.kind == Kind::kData) {
    ASHLAR_CHECK(init.data.size() == out.size(), "variable {}: {} values given for shape {}",
                 variable.name, init.data.size(), variable.shape.str());
    std::ranges::copy(init.data, out.begin());
  } else {
    const RandomStream random(seed, variable.name);
    const auto std = static_cast<double>(init.std);
    for (size_t i = 0; !variable.part.empty() && i < out.size(); ++i) {
      const size_t at = whole_index(variable, i);
      out[i] = static_cast<float>(random.normal_pair(at / 2)[at % 2] * std);
    }
    for (size_t i = 0; variable.part.empty() && i < out.size(); i += 2) {
      const std::array<double, 2> pair = random.normal_pair(i / 2);
      out[i] = static_cast<float>(pair[0] * std);
      if (i + 1 < out.size()) out[i + 1] = static_cast<float>(pair[1] * std);
    }
  }
  if (values.data() != tensor.data()) {
    convert(DType::kF32, values.data(), tensor.dtype(), tensor.data(), tensor.elements());
  }
}

bool is_stored_as(const Tensor& tensor, const graph::Variable& variable) {
  return tensor.dtype() == variable.dtype && tensor.shape() == variable.shape;
}

// Whether the source of a packed Variable stands in its place (pack_weights.h).
bool waits_to_be_packed(const Tensor& tensor, const graph::Graph& graph,
                        const graph::Variable& variable) {
  return variable.kind == graph::VariableKind::kPacked &&
         is_stored_as(tensor, graph.variable(variable.source));
}

}  // namespace

// Variables that leave in one message lie one behind the other.
void VariableStore::add_blocks(const graph::Graph& graph) {
  for (const graph::Node& node : graph.nodes()) {
    const auto* sum = dynamic_cast<const graph::AllReduceOp*>(node.op.get());
    if (sum == nullptr || !sum->block()) continue;
    int64_t bytes = 0;
    for (const graph::ValueId input : node.inputs) {
      const graph::Variable& variable = graph.variable(graph.value(input).variable);
      if (tensors_.contains(variable.name)) {
        bytes = 0;  // made before, for a graph with these buckets or none
        break;
      }
      bytes += variable.bytes();
    }
    if (bytes == 0) continue;
    const auto block = allocate_zeroed(static_cast<size_t>(bytes));
    std::byte* at = block.get();
    for (const graph::ValueId input : node.inputs) {
      const graph::Variable& variable = graph.variable(graph.value(input).variable);
      tensors_.emplace(variable.name, Tensor(variable.dtype, variable.shape, at, block));
      at += variable.bytes();
    }
  }
}

void VariableStore::add_missing(const graph::Graph& graph) {
  add_blocks(graph);
  for (const graph::VariableId id : stored_variables(graph)) {
    const graph::Variable& variable = graph.variable(id);
    const auto found = tensors_.find(variable.name);
    if (found == tensors_.end()) {
      Tensor tensor(variable.dtype, variable.shape);
      fill(tensor, variable, seed_);
      tensors_.emplace(variable.name, std::move(tensor));
      continue;
    }
    const Tensor& tensor = found->second;
    ASHLAR_CHECK(is_stored_as(tensor, variable) || waits_to_be_packed(tensor, graph, variable),
                 "variable {}: storage is {}{}, the graph wants {}{}", variable.name,
                 name(tensor.dtype()), tensor.shape().str(), name(variable.dtype),
                 variable.shape.str());
  }
}

Tensor& VariableStore::at(const std::string& name) {
  const auto found = tensors_.find(name);
  ASHLAR_CHECK(found != tensors_.end(), "no variable is named '{}'", name);
  return found->second;
}

const Tensor& VariableStore::at(const std::string& name) const {
  return const_cast<VariableStore*>(this)->at(name);
}

void VariableStore::refresh_shadow(const graph::Graph& graph, const graph::Variable& shadow) {
  const Tensor& source = at(graph.variable(source_of(shadow)).name);
  Tensor& target = at(shadow.name);
  ASHLAR_CHECK(source.shape() == target.shape(),
               "variable {}: shadow {} of a master of which this rank holds {}: other ranks hold "
               "the rest (train/shadows.h)",
               shadow.name, target.shape().str(), source.shape().str());
  convert(source.dtype(), source.data(), target.dtype(), target.data(), source.elements());
}

void VariableStore::refresh_shadows(const graph::Graph& graph) {
  for (const graph::Variable& variable : graph.variables()) {
    if (variable.kind == graph::VariableKind::kShadow) refresh_shadow(graph, variable);
  }
}

int64_t VariableStore::bytes() const {
  int64_t total = 0;
  for (const auto& [name, tensor] : tensors_) total += static_cast<int64_t>(tensor.bytes());
  return total;
}

}  // namespace ashlar::runtime
