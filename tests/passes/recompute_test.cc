// Recomputation keeps every value, to the bit, and what it keeps and adds is what the papers say.
#include "ashlar/passes/recompute.h"

#include "ashlar/base/cpu.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/passes/precision.h"
#include "tests/graph/graph_run.h"
#include "tests/runtime/small_models.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Phase;
using graph::ValueId;
using testing::SmallModelOptions;

const std::vector<Recompute> kModes = {Recompute::kFull, Recompute::kSelective,
                                       Recompute::kActivations, Recompute::kSqrt};

std::vector<SmallModelOptions> models() {
  return {{.layers = 5, .dropout = 0.2},
          {.layer_norm = true, .kv_heads = 3, .layers = 4, .dropout = 0.1, .tied = true},
          {.layers = 4, .experts = 4}};
}

Graph training_graph(const SmallModelOptions& model, DType dtype = DType::kF32) {
  Graph graph = testing::small_model(model);
  differentiate(graph, graph.output("loss"));
  return precision(graph, dtype);
}

int64_t count_recomputed(const Graph& graph) {
  return std::ranges::count_if(graph.nodes(), &Node::recomputed);
}

TEST(Recompute, KeepsEveryValueInDouble) {
  for (const SmallModelOptions& model : models()) {
    const auto batch = testing::small_batch(model, {7, 1, 4}, 11);
    const Graph plain = training_graph(model);
    runtime::VariableStore store(5);
    store.add_missing(plain);
    runtime::ReferenceRun wanted(plain, batch.bindings, store);
    testing::set_inputs(wanted, batch);
    wanted.run({.seed = 3, .step = 1});
    for (const Recompute mode : kModes) {
      const Graph graph = recompute(plain, mode);
      EXPECT_GT(count_recomputed(graph), 0);
      runtime::ReferenceRun run(graph, batch.bindings, store);
      testing::set_inputs(run, batch);
      run.run({.seed = 3, .step = 1});
      EXPECT_EQ(run.output("loss"), wanted.output("loss"));
      for (const graph::Variable& variable : plain.variables()) {
        EXPECT_EQ(run.variable(variable.name), wanted.variable(variable.name)) << variable.name;
      }
    }
  }
}

// Loss and gradients of one step, as the kernels compute them.
std::vector<float> fast_step(const Graph& unfused, const testing::SmallBatch& batch) {
  const Graph graph = fuse(unfused);
  const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
  ThreadPool pool(2);
  runtime::VariableStore store(5);
  store.add_missing(graph);
  store.refresh_shadows(graph);
  runtime::Executor executor(
      graph, plan_memory(graph, {.max = batch.bindings, .table = &table, .threads = 2}), store,
      table, pool);
  testing::bind_inputs(executor, batch);
  std::vector<float> result;
  for (const char* program : {"forward", "backward"}) {
    executor.run(executor.program_index(program), batch.bindings, {.seed = 3, .step = 1});
  }
  for (const graph::Variable& variable : graph.variables()) {
    if (variable.kind != graph::VariableKind::kGradient) continue;
    const auto values = store.at(variable.name).span<float>();
    result.insert(result.end(), values.begin(), values.end());
  }
  return result;
}

TEST(Recompute, KeepsEveryBitOfTheKernels) {
  for (const SmallModelOptions& model : models()) {
    const auto batch = testing::small_batch(model, {17, 3}, 12);
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      const Graph plain = training_graph(model, dtype);
      const std::vector<float> wanted = fast_step(plain, batch);
      for (const Recompute mode : kModes) {
        const std::vector<float> found = fast_step(recompute(plain, mode), batch);
        ASSERT_EQ(found.size(), wanted.size());
        EXPECT_EQ(std::memcmp(found.data(), wanted.data(), wanted.size() * sizeof(float)), 0)
            << name(dtype) << ", mode " << static_cast<int>(mode) << ", tied " << model.tied;
      }
    }
  }
}

graph::Cost cost_of(const Graph& graph, const testing::SmallBatch& batch, const Node& node) {
  const auto operands = [&](const std::vector<ValueId>& ids) {
    std::vector<graph::Operand> result(ids.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      result[i].present = ids[i].valid();
      result[i].shape = Shape{0};
      if (!ids[i].valid()) continue;
      result[i].dtype = graph.type(ids[i]).dtype;
      result[i].shape = graph.type(ids[i]).shape.bind(batch.bindings);
      if (ids[i] == graph.inputs().at("row_start")) {
        result[i].data = reinterpret_cast<std::byte*>(const_cast<int32_t*>(batch.row_start.data()));
      }
    }
    return result;
  };
  return node.op->cost(operands(node.inputs), operands(node.outputs));
}

template <typename Which>
double flops(const Graph& graph, const testing::SmallBatch& batch, const Which& which) {
  double sum = 0;
  for (const Node& node : graph.nodes()) {
    if (which(node)) sum += cost_of(graph, batch, node).flops;
  }
  return sum;
}

// Selective: what is paid is attention's two products and nothing else (Korthikanti et al. 2022);
// full and sqrt: at most one more forward (Chen et al. 2016).
TEST(Recompute, CostsWhatThePapersSay) {
  const SmallModelOptions model = models()[0];
  const auto batch = testing::small_batch(model, {30, 12}, 13);
  const Graph plain = training_graph(model);
  const double forward =
      flops(plain, batch, [](const Node& node) { return node.phase == Phase::kForward; });
  const double all = flops(plain, batch, [](const Node&) { return true; });
  const double attention = flops(plain, batch, [](const Node& node) {
    return node.phase == Phase::kForward && node.op->kind() == "attention";
  });
  EXPECT_EQ(flops(recompute(plain, Recompute::kSelective), batch,
                  [](const Node& node) { return node.recomputed; }),
            attention);
  for (const Recompute mode : {Recompute::kFull, Recompute::kSqrt}) {
    const Graph graph = recompute(plain, mode);
    const double again = flops(graph, batch, [](const Node& node) { return node.recomputed; });
    EXPECT_GT(again, 0);
    EXPECT_LE(again, forward);
    EXPECT_LE(flops(graph, batch, [](const Node&) { return true; }), all * 4 / 3);
  }
}

// How many activations, kept or computed again, wait for a reader at once at most; gradients and
// inputs of the run do not count.
int most_alive(const Graph& graph) {
  std::map<ValueId, int> last;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    for (const ValueId input : graph.nodes()[i].inputs) last[input] = static_cast<int>(i);
  }
  std::set<ValueId> alive;
  size_t most = 0;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    for (const ValueId output : node.outputs) {
      if (node.phase == Phase::kForward || node.recomputed) alive.insert(output);
    }
    most = std::max(most, alive.size());
    std::erase_if(alive, [&](ValueId id) { return last[id] <= static_cast<int>(i); });
  }
  return static_cast<int>(most);
}

// A chain of layers of one activation each: L tensors wait for backward, or about 2 sqrt(L).
TEST(Recompute, SqrtHoldsTwiceTheRootOfTheLayers) {
  for (const int layers : {4, 9, 16, 25, 64, 100}) {
    const Graph graph = graph::with_backward([&](graph::Builder& b) {
      ValueId x = b.input("x", DType::kF32, {8, 8});
      for (int layer = 0; layer < layers; ++layer) {
        const auto scope = b.layer_scope(fmt::format("layers.{}", layer), layer);
        x = graph::activation(b, x, kernels::Activation::kGeluTanh, "act");
      }
      return x;
    });
    const double root = std::sqrt(layers);
    const int held = 1 + most_alive(recompute(graph, Recompute::kSqrt));  // and the chain's input
    EXPECT_LE(std::abs(held - 2 * root), 1) << layers;
    EXPECT_EQ(most_alive(graph), layers);
  }
}

// What lies between forward and backward, as it is planned.
TEST(Recompute, TakesTheMemoryOfWhatIsNotKept) {
  SmallModelOptions model = models()[0];
  model.layers = 9;
  model.dropout = 0;
  const auto batch = testing::small_batch(model, {40, 24}, 14);
  const auto slot = [&](Recompute mode) {
    const Graph graph = fuse(recompute(training_graph(model), mode));
    const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
    return plan_memory(graph, {.max = batch.bindings, .slots = 2, .table = &table}).slot_bytes;
  };
  const int64_t tokens = static_cast<int64_t>(batch.tokens.size());
  const int64_t none = slot(Recompute::kNone);
  // Of a layer the context of all heads and their log-sums are no longer kept.
  const int64_t context = tokens * model.width * 4, log_sums = tokens * model.heads * 4;
  EXPECT_EQ(none - slot(Recompute::kSelective), model.layers * (context + log_sums));
  EXPECT_EQ(none - slot(Recompute::kActivations), model.layers * tokens * model.ffn * 4);
  // One tensor a layer, and what is outside the layers.
  const int64_t full = slot(Recompute::kFull), root = slot(Recompute::kSqrt);
  EXPECT_EQ(full - root, (model.layers - 3) * tokens * model.width * 4);
  EXPECT_LT(full, none / 4);
}

}  // namespace
}  // namespace ashlar::passes
