#include "ashlar/passes/gradient_buckets.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/passes/rewrite.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Phase;
using graph::ValueId;

int64_t bytes_of(const Graph& graph, ValueId id) {
  const graph::ValueType& type = graph.type(id);
  return type.shape.bind({}).elements() * size_of(type.dtype);
}

// The group that an op sums gradients over, how, and in which dtype; null: another op. Ops of one
// key share buckets.
using Key = std::tuple<std::string, std::string, DType>;
std::optional<Key> key_of(const Graph& graph, const Node& node) {
  const graph::Op& op = *node.op;
  const comm::Group* group = nullptr;
  if (const auto* sum = dynamic_cast<const graph::AllReduceOp*>(&op)) group = &sum->group();
  if (const auto* rows = dynamic_cast<const graph::ReduceScatterOp*>(&op)) group = &rows->group();
  if (const auto* into = dynamic_cast<const graph::ReduceIntoOp*>(&op)) group = &into->group();
  if (group == nullptr) return std::nullopt;
  return Key(op.kind(), group->name, graph.type(node.inputs[0]).dtype);
}

// Phase R: nodes in the order in which what they read is made, parted into buckets. Ranks of a
// group must start its sums in one order, and among them those of layers in between. So when a
// bucket starts depends on its own gradients alone: those of other groups may have other sizes on
// another rank.
class SumBuckets {
 public:
  struct Bucket {
    std::vector<int> nodes;
    int64_t bytes = 0;
    int made = 0;  // its last gradient
  };
  using Queue = std::pair<int, Key>;  // sums of gradients (0), of such sums (1) ...

  SumBuckets(const Graph& graph, int64_t cap) : graph_(graph), cap_(cap) {
    find_order();
    std::vector<int> nodes;
    for (size_t i = 0; i < graph.nodes().size(); ++i) {
      if (graph.nodes()[i].phase == Phase::kReduce) nodes.push_back(static_cast<int>(i));
    }
    std::ranges::stable_sort(nodes, {}, [&](int node) { return made_[static_cast<size_t>(node)]; });
    for (const int node : nodes) add(node);
    for (auto& [key, bucket] : open_) closed_.emplace_back(key, std::move(bucket));
    std::ranges::stable_sort(closed_, {}, [](const auto& closed) {
      return std::pair(closed.second.made, closed.first);
    });
  }

  const std::vector<std::pair<Queue, Bucket>>& buckets() const { return closed_; }

 private:
  int nodes() const { return static_cast<int>(graph_.nodes().size()); }

  // For each node of phase R when its input is made: those of forward first, then backward's in
  // order; what another sum makes comes behind all of them.
  void find_order() {
    made_.assign(graph_.nodes().size(), 0);
    for (size_t i = 0; i < graph_.nodes().size(); ++i) {
      if (graph_.nodes()[i].phase != Phase::kReduce) continue;
      for (const ValueId input : graph_.nodes()[i].inputs) {
        const int maker = graph_.value(input).producer;
        if (maker < 0) continue;
        const Node& node = graph_.node(maker);
        const int when = node.phase == Phase::kReduce ? nodes() + made_[static_cast<size_t>(maker)]
                         : node.phase == Phase::kForward ? 0
                                                         : maker;
        made_[i] = std::max(made_[i], when);
      }
    }
  }

  void add(int index) {
    const Node& node = graph_.node(index);
    const int made = made_[static_cast<size_t>(index)];
    const std::optional<Key> kind = key_of(graph_, node);
    // Sums of sums never share a bucket with their terms.
    const Queue key(made / nodes(), kind.value_or(Key()));
    const bool joins = kind && node.inputs.size() == 1;
    const int64_t bytes = joins ? bytes_of(graph_, node.inputs[0]) : cap_;
    const auto open = open_.find(key);
    if (open != open_.end() && (!joins || open->second.bytes + bytes > cap_)) {
      closed_.emplace_back(key, std::move(open->second));
      open_.erase(open);
    }
    if (!joins) {
      closed_.push_back({key, {{index}, bytes, made}});
      return;
    }
    Bucket& bucket = open_[key];
    bucket.nodes.push_back(index);
    bucket.bytes += bytes;
    bucket.made = made;
  }

  const Graph& graph_;
  int64_t cap_;
  std::vector<int> made_;
  std::map<Queue, Bucket> open_;
  std::vector<std::pair<Queue, Bucket>> closed_;
};

class Bucketer {
 public:
  Bucketer(const Graph& graph, int64_t bytes, bool stage)
      : graph_(graph), cap_(bytes), rewrite_(graph), sums_(graph, bytes) {
    if (stage) find_terms_of_forward();
  }

  Graph run() {
    bool summed = false;
    for (const Node& node : graph_.nodes()) {
      if (node.phase == Phase::kReduce) continue;
      if (node.phase > Phase::kReduce && !summed) {
        write_terms();
        free_terms();
        for (const auto& [key, bucket] : sums_.buckets()) write_sums(bucket.nodes);
        summed = true;
      }
      if (leaves_in_forward_.contains(&node)) continue;
      if (is_reduce_into(node)) {
        add_term(node);
        continue;
      }
      // Where the next term is made there must be room for it.
      if (dynamic_cast<const graph::ZerosOp*>(node.op.get()) != nullptr) make_room(node.outputs[0]);
      rewrite_.copy(node);
      if (node.phase == Phase::kForward) send_terms_of(node);
    }
    return rewrite_.take();
  }

 private:
  static bool is_reduce_into(const Node& node) {
    return dynamic_cast<const graph::ReduceIntoOp*>(node.op.get()) != nullptr;
  }

  // What reduces a term that forward made into its shard, over one axis or several. A second term
  // of the gradient stays behind the first.
  void find_terms_of_forward() {
    for (const Node& node : graph_.nodes()) {
      if (!is_reduce_into(node) || graph_.value(node.inputs[1]).producer >= 0) continue;
      std::vector<const Node*> chain = {&node};
      const Node* maker = &maker_of(node);
      for (; dynamic_cast<const graph::ReduceScatterOp*>(maker->op.get()) != nullptr &&
             maker->phase > Phase::kForward;
           maker = &maker_of(*maker)) {
        chain.push_back(maker);
      }
      if (maker->phase == Phase::kForward) leaves_in_forward_.insert(chain.begin(), chain.end());
    }
  }
  const Node& maker_of(const Node& node) const {
    return graph_.node(graph_.value(node.inputs[0]).producer);
  }

  void send_terms_of(const Node& maker) {
    for (const Node* node : leaves_in_forward_) {
      if (&maker_of(*node) != &maker) continue;
      const auto outputs = rewrite_.result().add_node(node->op, rewrite_(node->inputs),
                                                      Phase::kForward, node->layer, node->name);
      rewrite_.map(node->outputs[0], outputs[0]);
      send_terms_of(*node);
    }
  }

  // One node over the inputs of all; their outputs stand for those of each.
  void write_sums(const std::vector<int>& bucket) {
    const Node& first = graph_.node(bucket[0]);
    if (bucket.size() == 1) {
      rewrite_.copy(first);
      return;
    }
    std::vector<ValueId> inputs;
    std::vector<Slice> parts;
    bool whole = true;
    for (const int index : bucket) {
      const Node& node = graph_.node(index);
      inputs.push_back(rewrite_(node.inputs[0]));
      const graph::ValueInfo& input = graph_.value(node.inputs[0]);
      const bool summed = input.producer >= 0 && graph_.node(input.producer).phase == first.phase;
      whole = whole && !input.part && !summed;
      if (const auto* rows = dynamic_cast<const graph::ReduceScatterOp*>(node.op.get())) {
        parts.push_back(rows->parts()[0]);
      }
    }
    const int count = static_cast<int>(bucket.size());
    graph::OpPtr op;
    if (const auto* sum = dynamic_cast<const graph::AllReduceOp*>(first.op.get())) {
      op = whole ? sum->over_block(count) : sum->over(count);
    } else {
      op = dynamic_cast<const graph::ReduceScatterOp&>(*first.op).over(std::move(parts));
    }
    const auto outputs = rewrite_.result().add_node(std::move(op), std::move(inputs), first.phase,
                                                    first.layer, first.name);
    for (int i = 0; i < count; ++i) {
      rewrite_.map(graph_.node(bucket[static_cast<size_t>(i)]).outputs[0],
                   outputs[static_cast<size_t>(i)]);
    }
  }

  void add_term(const Node& node) {
    const bool again = std::ranges::any_of(terms_, [&](const Node* other) {
      return other->outputs[0] == node.inputs[1];  // a second term of one gradient
    });
    if (!terms_.empty() && (again || key_of(graph_, *terms_[0]) != key_of(graph_, node))) {
      write_terms();
    }
    make_room(node.inputs[0]);
    terms_.push_back(&node);
    filled_ += bytes_of(graph_, node.inputs[0]);
  }

  void make_room(ValueId term) {
    if (filled_ + bytes_of(graph_, term) > cap_ / 2) write_terms();
  }

  void write_terms() {
    if (terms_.empty()) return;
    free_terms();
    std::vector<ValueId> inputs, grads;
    std::vector<bool> first;
    for (const Node* node : terms_) {
      inputs.push_back(rewrite_(node->inputs[0]));
      grads.push_back(rewrite_(node->inputs[1]));
      first.push_back(dynamic_cast<const graph::ReduceIntoOp&>(*node->op).first()[0]);
    }
    leaving_ = inputs;
    inputs.insert(inputs.end(), grads.begin(), grads.end());
    const Node& head = *terms_[0];
    const auto& op = dynamic_cast<const graph::ReduceIntoOp&>(*head.op);
    const auto outputs = rewrite_.result().add_node(
        op.over_bucket(std::move(first)), std::move(inputs), head.phase, head.layer, head.name);
    for (size_t i = 0; i < terms_.size(); ++i) rewrite_.map(terms_[i]->outputs[0], outputs[i]);
    leaving_nodes_ = std::exchange(terms_, {});
    filled_ = 0;
  }

  // The memory of the bucket that is leaving is needed.
  void free_terms() {
    if (leaving_nodes_.empty()) return;
    std::vector<ValueId> inputs;
    for (const Node* node : leaving_nodes_) inputs.push_back(rewrite_(node->outputs[0]));
    inputs.insert(inputs.end(), leaving_.begin(), leaving_.end());
    const Node& head = *leaving_nodes_[0];
    const auto outputs = rewrite_.result().add_node(
        std::make_shared<graph::FreeTermsOp>(static_cast<int>(leaving_nodes_.size())),
        std::move(inputs), head.phase, head.layer, head.name + ".free");
    for (size_t i = 0; i < leaving_nodes_.size(); ++i) {
      rewrite_.map(leaving_nodes_[i]->outputs[0], outputs[i]);
    }
    leaving_nodes_.clear();
  }

  const Graph& graph_;
  int64_t cap_;
  Rewrite rewrite_;
  SumBuckets sums_;
  std::set<const Node*> leaves_in_forward_;
  std::vector<const Node*> terms_, leaving_nodes_;  // being filled, and under way
  std::vector<ValueId> leaving_;                    // the terms under way
  int64_t filled_ = 0;
};

}  // namespace

Graph bucket_gradients(const Graph& graph, int64_t bytes, bool stage) {
  ASHLAR_CHECK(bytes > 0, "buckets of gradients: {} bytes is not positive", bytes);
  return Bucketer(graph, bytes, stage).run();
}

}  // namespace ashlar::passes
