#include "tests/train/layout_bytes.h"

#include "ashlar/models/decoder_graphs.h"

#include <algorithm>
#include <vector>

namespace ashlar::train::testing {
namespace {

constexpr int64_t kFloat = 4, kDouble = 8;

// A trained parameter, as far as its traffic goes.
struct Weight {
  int64_t elements = 0;
  bool split = false;        // over tensor ranks
  bool in_backward = false;  // read there too, and not in forward only
  bool by_first = false;     // read by the first of tensor ranks only: a bias of their sum
  bool rows_shared = false;  // its gradient is a sum over tensor ranks under sequence parallel
};

bool splits(const graph::Variable& variable) {
  return std::ranges::any_of(variable.dims, [](const std::string& dim) {
    return dim == "heads" || dim == "kv_heads" || dim == "ffn" || dim == "vocab";
  });
}

class Traffic {
 public:
  Traffic(const LayoutJob& job, const Layout& layout)
      : job_(job),
        layout_(layout),
        data_(layout.mesh.data),
        context_(layout.mesh.context),
        tensor_(layout.mesh.tensor) {}

  std::map<std::string, int64_t> of_a_step() {
    for (const Weight& weight : weights()) {
      if (layout_.zero == 0) {
        sum_whole(weight);
      } else {
        sum_into_shards(weight);
      }
    }
    norm();
    if (tensor_ > 1) tensor_ranks();
    if (context_ > 1) context_ranks();
    return std::move(bytes_);
  }

 private:
  int64_t tokens() const { return job_.batch * job_.seq; }
  void add(const std::string& axis, int64_t bytes) {
    if (bytes > 0) bytes_[axis] += bytes;
  }

  std::vector<Weight> weights() const {
    const graph::Graph graph = models::build_training(job_.model);
    std::vector<Weight> result;
    for (const graph::Variable& variable : graph.variables()) {
      if (variable.kind != graph::VariableKind::kParameter || !variable.trainable) continue;
      // Backward reads neither tables nor biases; the head's gradients are made with the loss.
      const bool matrix = variable.shape.rank() > 1;
      const bool positions = variable.name == "positions.weight";
      const bool table = variable.name == "embed.weight" || positions;
      const bool at_an_end = table || variable.name == "head.weight";
      const bool bias = variable.name.ends_with(".bias");
      const bool norm = variable.name.find("norm") != std::string::npos;
      result.push_back({.elements = variable.shape.elements(),
                        .split = splits(variable) && tensor_ > 1,
                        .in_backward = matrix ? !at_an_end : !bias,
                        .by_first = bias && !splits(variable) && !norm,
                        .rows_shared = layout_.sequence && !table && !splits(variable)});
    }
    return result;
  }

  static std::string name(const std::vector<std::pair<const char*, int>>& axes) {
    std::string result;
    for (const auto& [axis, size] : axes) {
      if (size > 1) result += (result.empty() ? "" : "+") + std::string(axis);
    }
    return result;
  }

  // DP1: 2(p-1)/p of every gradient, once a step.
  void sum_whole(const Weight& weight) {
    const bool with_tensor = weight.rows_shared && tensor_ > 1;
    const int ranks = data_ * context_ * (with_tensor ? tensor_ : 1);
    const int64_t groups = weight.split || with_tensor ? 1 : tensor_;  // of whole copies
    add(name({{"data", data_}, {"context", context_}, {"tensor", with_tensor ? tensor_ : 1}}),
        2 * (ranks - 1) * groups * weight.elements * kFloat);
  }

  // DP3 to DP5: gradients are scattered, once a step or, when they are kept in shards, once a
  // microbatch; parameters are gathered behind the update, or where forward and backward
  // read them.
  void sum_into_shards(const Weight& weight) {
    const int64_t whole = weight.elements * (weight.split ? 1 : tensor_) * kFloat;
    const int64_t scatters = layout_.zero == 1 ? 1 : job_.microbatches;
    const int64_t gathered =
        layout_.zero == 3 && weight.by_first ? weight.elements * kFloat : whole;
    const int64_t gathers = layout_.zero < 3 ? 1 : job_.microbatches * (weight.in_backward ? 2 : 1);
    const int64_t each = whole * scatters + gathered * gathers;
    // Data ranks cut first: those of each context rank hold the whole, context ranks a part of it.
    add("data", (data_ - 1) * context_ * each);
    add("context", (context_ - 1) * each);
    if (!weight.rows_shared) return;
    // Of whole gradients before they are scattered, of shards behind.
    const int64_t copies = layout_.zero == 1 ? data_ * context_ : 1;
    add("tensor", 2 * (tensor_ - 1) * copies * weight.elements * kFloat);
  }

  void norm() {
    const int data = layout_.zero > 0 ? data_ : 1, context = layout_.zero > 0 ? context_ : 1;
    const int ranks = data * context * tensor_;
    const int64_t groups = data_ * context_ * tensor_ / ranks;
    add(name({{"data", data}, {"context", context}, {"tensor", tensor_}}),
        2 * (ranks - 1) * groups * kDouble);
  }

  // TP1: a layer has four sums of its rows; the embedding has one and the head's gradient one. TP2:
  // three numbers a row. Sequence parallel (SP2) scatters and gathers instead, as many bytes.
  void tensor_ranks() {
    const int64_t sums = 4 * job_.model.layers + 2;
    add("tensor", 2 * (tensor_ - 1) * tokens() * (sums * job_.model.width + 3) * kFloat);
  }

  // SP3: keys and values go round in forward and again in backward, their gradients once. SP5:
  // queries, keys, values and results change sides, and their gradients back.
  void context_ranks() {
    const int64_t keys = 2 * job_.model.kv_heads * job_.model.head_dim;
    const int64_t queries = 2 * job_.model.heads * job_.model.head_dim;
    const int64_t row = layout_.context == passes::ContextParallel::kUlysses
                            ? 2 * (keys + queries) / context_
                            : 3 * keys;
    add("context", (context_ - 1) * job_.model.layers * tokens() * row * kFloat);
  }

  const LayoutJob& job_;
  const Layout& layout_;
  int data_, context_, tensor_;
  std::map<std::string, int64_t> bytes_;
};

}  // namespace

std::map<std::string, int64_t> expected_bytes(const LayoutJob& job, const Layout& layout) {
  std::map<std::string, int64_t> bytes = Traffic(job, layout).of_a_step();
  for (auto& [axis, count] : bytes) count *= job.steps;
  return bytes;
}

}  // namespace ashlar::train::testing
