#include "ashlar/bundle/load_weights.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

namespace ashlar::bundle {
namespace {

using formats::SafetensorsReader;
using models::WeightRule;

constexpr size_t kFaultsShown = 3;

const graph::Variable& parameter(const graph::Graph& graph, const std::string& name) {
  const auto id = graph.find_variable(name);
  ASHLAR_CHECK(id.has_value(), "weights: the graph has no parameter '{}'", name);
  return graph.variable(*id);
}

// The shape of the rule's tensor in the file.
Shape wanted_shape(const WeightRule& rule, const graph::Graph& graph) {
  Shape shape = parameter(graph, rule.parameters.front()).shape;
  if (rule.index) shape = Shape(shape.dims().subspan(1));
  for (size_t i = 1; i < rule.parameters.size(); ++i) {
    shape[0] += parameter(graph, rule.parameters[i]).shape[0];
  }
  return rule.transpose ? Shape{shape[1], shape[0]} : shape;
}

class Loader {
 public:
  Loader(const SafetensorsReader& file, const models::DecoderConfig& config,
         const graph::Graph& graph)
      : file_(file),
        config_(config),
        graph_(graph),
        rules_(models::weight_rules(config)),
        prefix_(models::find_family(config.family).prefix) {}

  void check(const std::string& where) const {
    std::vector<std::string> faults;
    std::set<std::string> used;
    for (const WeightRule& rule : rules_) {
      const std::string tensor = name_in_file(rule);
      used.insert(tensor);
      if (std::string fault = fault_of(rule, tensor); !fault.empty()) {
        faults.push_back(std::move(fault));
      }
    }
    for (const std::string& tensor : file_.names()) {
      if (used.contains(tensor) || models::is_known_buffer(config_, tensor)) continue;
      faults.push_back(fmt::format("tensor '{}' {} belongs to no parameter", tensor,
                                   file_.entry(tensor).shape.str()));
    }
    if (faults.empty()) return;
    std::string text;
    for (size_t i = 0; i < std::min(faults.size(), kFaultsShown); ++i) text += "; " + faults[i];
    if (faults.size() > kFaultsShown) {
      text += fmt::format("; and {} more", faults.size() - kFaultsShown);
    }
    fail("model {}: the weights do not match config.json: {}", where, text.substr(2));
  }

  void load(Storage storage, const PutParameter& put) {
    for (const WeightRule& rule : rules_) {
      const std::string name = name_in_file(rule);
      Tensor tensor = file_.tensor(name);
      if (rule.transpose) tensor = tensor.transposed();
      if (rule.index) {
        add_part(rule, tensor, put);
        file_.release(name);  // copied
        continue;
      }
      int64_t row = 0;
      for (const std::string& target : rule.parameters) {
        const graph::Variable& variable = parameter(graph_, target);
        const int64_t end = row + variable.shape[0];
        const Tensor piece = rule.parameters.size() == 1 ? tensor : tensor.rows(row, end);
        // A transposed whole is a copy already.
        const bool ours = rule.transpose && rule.parameters.size() == 1;
        put(target, stored(piece, variable.dtype, ours ? Storage::kMapped : storage));
        row = end;
      }
      if (storage == Storage::kOwn) file_.release(name);  // its pages are of no further use
    }
  }

 private:
  // Base-model checkpoints leave the prefix away.
  std::string name_in_file(const WeightRule& rule) const {
    if (!file_.contains(rule.tensor) && rule.tensor.starts_with(prefix_)) {
      std::string bare = rule.tensor.substr(prefix_.size());
      if (file_.contains(bare)) return bare;
    }
    return rule.tensor;
  }

  std::string fault_of(const WeightRule& rule, const std::string& tensor) const {
    const Shape wanted = wanted_shape(rule, graph_);
    if (!file_.contains(tensor)) {
      return fmt::format("tensor '{}' {} is missing", tensor, wanted.str());
    }
    const formats::TensorEntry& found = file_.entry(tensor);
    if (found.shape != wanted) {
      return fmt::format("tensor '{}' has shape {}, config.json wants {}", tensor,
                         found.shape.str(), wanted.str());
    }
    if (!is_float(found.dtype)) {
      return fmt::format("tensor '{}' is {}, wanted f32, bf16 or f16", tensor, name(found.dtype));
    }
    return {};
  }

  // Parts of a parameter come in ascending order; the last one completes it.
  void add_part(const WeightRule& rule, const Tensor& tensor, const PutParameter& put) {
    const std::string& target = rule.parameters.front();
    const graph::Variable& variable = parameter(graph_, target);
    Tensor& whole = incomplete_[target];
    if (whole.empty()) whole = Tensor(variable.dtype, variable.shape);
    const int64_t index = *rule.index;
    Tensor part = whole.rows(index, index + 1);
    convert(tensor.dtype(), tensor.data(), part.dtype(), part.data(), part.elements());
    if (index + 1 < variable.shape[0]) return;
    put(target, std::move(whole));
    incomplete_.erase(target);
  }

  static Tensor stored(const Tensor& tensor, DType dtype, Storage storage) {
    if (tensor.dtype() != dtype) return tensor.to(dtype);
    if (storage == Storage::kMapped) return tensor;
    Tensor copy(tensor.dtype(), tensor.shape());
    std::memcpy(copy.data(), tensor.data(), tensor.bytes());
    return copy;
  }

  const SafetensorsReader& file_;
  const models::DecoderConfig& config_;
  const graph::Graph& graph_;
  std::vector<WeightRule> rules_;
  std::string_view prefix_;
  std::map<std::string, Tensor> incomplete_;  // parameters of which some parts are missing
};

}  // namespace

void load_weights(const SafetensorsReader& file, const models::DecoderConfig& config,
                  const graph::Graph& graph, Storage storage, const std::string& where,
                  const PutParameter& put) {
  Loader loader(file, config, graph);
  loader.check(where);
  loader.load(storage, put);
}

}  // namespace ashlar::bundle
