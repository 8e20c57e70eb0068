#include "ashlar/bundle/load_weights.h"

#include "ashlar/base/error.h"
#include "ashlar/bundle/row_groups.h"
#include "ashlar/mesh/part.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace ashlar::bundle {
namespace {

using models::WeightRule;

constexpr size_t kFaultsShown = 3;

const graph::Variable& parameter(const graph::Graph& graph, const std::string& name) {
  const auto id = graph.find_variable(name);
  ASHLAR_CHECK(id.has_value(), "weights: the graph has no parameter '{}'", name);
  return graph.variable(*id);
}

const Shape& whole_shape(const graph::Variable& variable) {
  return variable.part.empty() ? variable.shape : variable.whole;
}

// The shape of the rule's tensor in the file.
Shape wanted_shape(const WeightRule& rule, const graph::Graph& graph) {
  Shape shape = whole_shape(parameter(graph, rule.parameters.front()));
  if (rule.index) shape = Shape(shape.dims().subspan(1));
  for (size_t i = 1; i < rule.parameters.size(); ++i) {
    shape[0] += whole_shape(parameter(graph, rule.parameters[i]))[0];
  }
  return rule.transpose ? Shape{shape[1], shape[0]} : shape;
}

class Loader {
 public:
  Loader(const Weights& weights, const graph::Graph& graph)
      : weights_(weights), file_(weights.file()), graph_(graph), rules_(weights.rules()) {}

  void check(const std::string& where) const {
    std::vector<std::string> faults;
    std::set<std::string> used;
    for (const WeightRule& rule : rules_) {
      const std::string tensor = weights_.name_of(rule);
      used.insert(tensor);
      if (!is_wanted(rule)) continue;
      if (std::string fault = fault_of(rule, tensor); !fault.empty()) {
        faults.push_back(std::move(fault));
      }
    }
    for (const std::string& tensor : file_.names()) {
      if (used.contains(tensor) || weights_.is_extra(tensor)) continue;
      faults.push_back(fmt::format("tensor '{}' {} belongs to no parameter", tensor,
                                   file_.entry(tensor).shape.str()));
    }
    if (faults.empty()) return;
    std::string text;
    for (size_t i = 0; i < std::min(faults.size(), kFaultsShown); ++i) text += "; " + faults[i];
    if (faults.size() > kFaultsShown) {
      text += fmt::format("; and {} more", faults.size() - kFaultsShown);
    }
    fail("model {}: the weights do not match {}: {}", where, weights_.described_by(),
         text.substr(2));
  }

  // A tensor is a task.
  int64_t load(Storage storage, const PutParameter& put, ThreadPool* pool) {
    std::vector<const WeightRule*> wanted;
    for (const WeightRule& rule : rules_) {
      if (is_wanted(rule)) wanted.push_back(&rule);
    }
    std::atomic<int64_t> bytes = 0;
    const auto load_one = [&](int64_t task, int) {
      if (stopped_) return;
      try {
        bytes += load_rule(*wanted[static_cast<size_t>(task)], storage, put);
      } catch (...) {  // tasks may not throw
        const std::lock_guard lock(mutex_);
        stopped_ = true;
        if (!failed_) failed_ = std::current_exception();
      }
    };
    if (pool != nullptr) {
      pool->parallel_for(std::ssize(wanted), load_one);
    } else {
      for (int64_t task = 0; task < std::ssize(wanted); ++task) load_one(task, 0);
    }
    if (failed_) std::rethrow_exception(failed_);
    return bytes;
  }

 private:
  struct Piece {
    Tensor tensor;
    bool ours = false;  // a copy already
  };

  int64_t load_rule(const WeightRule& rule, Storage storage, const PutParameter& put) {
    const std::string name = weights_.name_of(rule);
    const Tensor tensor = gather_groups(weights_.tensor(rule, name), rows_of(rule), rule.groups);
    int64_t bytes = 0, row = 0;
    for (const std::string& target : rule.parameters) {
      const graph::Variable& variable = parameter(graph_, target);
      const Piece piece = cut(tensor, rule, variable, row);
      if (rule.index) {
        add_index(variable, *rule.index, piece.tensor, put);
      } else {
        const bool ours = piece.ours || rule.groups > 1;
        put_one(target, stored(piece.tensor, variable.dtype, ours ? Storage::kMapped : storage),
                put);
      }
      bytes += bytes_of(tensor.dtype(), piece.tensor.elements());
      row += whole_shape(variable)[0];
    }
    // Its pages are of no further use.
    const bool reordered = rule.groups > 1 || rule.paired_heads > 0;
    if (storage == Storage::kOwn || rule.index || reordered) file_.release(name);
    return bytes;
  }

  void put_one(const std::string& name, Tensor tensor, const PutParameter& put) {
    const std::lock_guard lock(mutex_);
    put_locked(name, std::move(tensor), put);
  }

  // Not once it has thrown.
  void put_locked(const std::string& name, Tensor tensor, const PutParameter& put) {
    if (stopped_) return;
    try {
      put(name, std::move(tensor));
    } catch (...) {
      stopped_ = true;
      throw;
    }
  }

  // Of each parameter of the tensor.
  std::vector<int64_t> rows_of(const WeightRule& rule) const {
    std::vector<int64_t> rows;
    for (const std::string& name : rule.parameters) {
      rows.push_back(whole_shape(parameter(graph_, name))[0]);
    }
    return rows;
  }

  // A pipeline's stage has the parameters of some layers only, an expert rank some experts. Those
  // that share a tensor belong to one layer.
  bool is_wanted(const WeightRule& rule) const {
    const auto id = graph_.find_variable(rule.parameters.front());
    if (!id) return false;
    const Part& part = graph_.variable(*id).part;
    return !rule.index || part.empty() ||
           (*rule.index >= part.front().offset && *rule.index < part.front().end());
  }

  // What a parameter holds of the tensor, where its whole begins at `row` of dim 0 (after
  // transposing).
  static Piece cut(const Tensor& tensor, const WeightRule& rule, const graph::Variable& variable,
                   int64_t row) {
    const bool whole = variable.part.empty();
    if (whole && !rule.transpose) {
      const bool shared = rule.parameters.size() > 1;
      return {shared ? tensor.rows(row, row + variable.shape[0]) : tensor};
    }
    if (whole && rule.parameters.size() == 1) return {plain(tensor).transposed(), true};
    Part part = whole ? whole_part(variable.shape.dims()) : variable.part;
    if (rule.index) {
      part.erase(part.begin());
    } else {
      part.front().offset += row;
    }
    if (rule.transpose) std::swap(part[0], part[1]);
    const Tensor source = plain(tensor);
    Tensor piece(source.dtype(), Shape(lengths(part)));
    copy_overlap(whole_part(source.shape().dims()), source.data(), part, piece.data(),
                 size_of(source.dtype()));
    return {rule.transpose ? piece.transposed() : piece, true};
  }

  // Blocks cannot be cut within a row.
  static Tensor plain(const Tensor& tensor) {
    return is_block(tensor.dtype()) ? tensor.to(DType::kF32) : tensor;
  }

  std::string fault_of(const WeightRule& rule, const std::string& tensor) const {
    const Shape wanted = wanted_shape(rule, graph_);
    if (!file_.contains(tensor)) {
      return fmt::format("tensor '{}' {} is missing", tensor, wanted.str());
    }
    const formats::TensorSpec& found = file_.entry(tensor);
    if (found.shape != wanted) {
      return fmt::format("tensor '{}' has shape {}, {} wants {}", tensor, found.shape.str(),
                         weights_.described_by(), wanted.str());
    }
    if (!is_float(found.dtype) && !is_block(found.dtype)) {
      return fmt::format("tensor '{}' is {}, wanted f32, bf16 or f16", tensor, name(found.dtype));
    }
    return {};
  }

  // What an index gives of a parameter; the last of them completes it.
  void add_index(const graph::Variable& variable, int64_t index, const Tensor& piece,
                 const PutParameter& put) {
    const int64_t row = index - (variable.part.empty() ? 0 : variable.part.front().offset);
    Tensor place = place_of(variable, row);
    convert(piece.dtype(), piece.data(), place.dtype(), place.data(), place.elements());
    const std::lock_guard lock(mutex_);
    Incomplete& held = incomplete_[variable.name];
    if (++held.rows < variable.shape[0]) return;
    put_locked(variable.name, std::move(held.tensor), put);
    incomplete_.erase(variable.name);
  }

  Tensor place_of(const graph::Variable& variable, int64_t row) {
    const std::lock_guard lock(mutex_);
    Incomplete& held = incomplete_[variable.name];
    if (held.tensor.empty()) held.tensor = Tensor(variable.dtype, variable.shape);
    return held.tensor.rows(row, row + 1);
  }

  static Tensor stored(const Tensor& tensor, DType dtype, Storage storage) {
    if (tensor.dtype() != dtype) return tensor.to(dtype);
    if (storage == Storage::kMapped) return tensor;
    Tensor copy(tensor.dtype(), tensor.shape());
    std::memcpy(copy.data(), tensor.data(), tensor.bytes());
    return copy;
  }

  const Weights& weights_;
  const formats::TensorFile& file_;
  const graph::Graph& graph_;
  const std::vector<WeightRule>& rules_;

  struct Incomplete {
    Tensor tensor;
    int64_t rows = 0;  // that are there
  };
  std::atomic<bool> stopped_ = false;
  std::mutex mutex_;  // of what follows, and of put
  std::exception_ptr failed_;
  std::map<std::string, Incomplete> incomplete_;  // parameters of which some parts are missing
};

}  // namespace

void check_weights(const Weights& weights, const graph::Graph& graph, const std::string& where) {
  Loader(weights, graph).check(where);
}

int64_t load_weights(const Weights& weights, const graph::Graph& graph, Storage storage,
                     const std::string& where, const PutParameter& put, ThreadPool* pool) {
  Loader loader(weights, graph);
  loader.check(where);
  return loader.load(storage, put, pool);
}

}  // namespace ashlar::bundle
