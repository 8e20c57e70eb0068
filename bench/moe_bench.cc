// One mixture of experts, forward and backward: rows sorted by expert and nothing else (dropless)
// against the same layer with every expert padded to its capacity, GShard's C = ceil(k T / E cf).
// Both run in turns; the fastest and the median round count. The router is random, so its load is
// nearly even, which is the best case for padding.
//
//   moe_bench [--isa TIER] [--threads N] [--tokens T] [--experts E] [--top-k K] [--width C]
//             [--ffn F] [--capacity CF] [--rounds R]
#include "ashlar/base/cpu.h"
#include "ashlar/base/thread_pool.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/grouped_linear.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/loss.h"
#include "ashlar/graph/ops/moe_assign.h"
#include "ashlar/graph/ops/moe_route.h"
#include "ashlar/graph/ops/moe_rows.h"
#include "ashlar/graph/ops/rows.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/moe_assign.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/runtime/executor.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <numeric>
#include <vector>

namespace ashlar::graph {
namespace {

struct Sizes {
  int64_t tokens = 2048, experts = 8, top_k = 2, width = 512, ffn = 1408;
  double capacity = 2;
  int64_t rows_of_expert() const { return kernels::moe_capacity(tokens, experts, top_k, capacity); }
};

// As moe_assign, but each expert owns as many rows as it has capacity for, filled or not.
class PaddedAssignOp : public Op {
 public:
  explicit PaddedAssignOp(const Sizes& sizes) : sizes_(sizes) {}
  std::string_view kind() const override { return "padded_assign"; }
  std::vector<ValueType> infer(std::span<const ValueType> in) const override {
    return {in[0],
            {DType::kI32, {sizes_.experts * sizes_.rows_of_expert()}},
            {DType::kI32, {sizes_.experts + 1}}};
  }
  void run(const KernelCall& call) const override {
    const auto* chosen = call.inputs[0].as<int32_t>();
    auto* slots = call.outputs[0].as<int32_t>();
    auto* sources = call.outputs[1].as<int32_t>();
    auto* offsets = call.outputs[2].as<int32_t>();
    const auto rows = static_cast<int32_t>(sizes_.rows_of_expert());
    std::fill_n(sources, sizes_.experts * rows, -1);
    for (int32_t e = 0; e <= sizes_.experts; ++e) offsets[e] = e * rows;
    std::vector<int32_t> filled(static_cast<size_t>(sizes_.experts), 0);
    for (int32_t pair = 0; pair < sizes_.tokens * sizes_.top_k; ++pair) {
      int32_t& count = filled[static_cast<size_t>(chosen[pair])];
      slots[pair] = count < rows ? chosen[pair] * rows + count++ : -1;
      if (slots[pair] >= 0) sources[slots[pair]] = pair;
    }
  }
  void reference(const ReferenceCall&) const override {}

 private:
  Sizes sizes_;
};

Graph build(const Sizes& s, bool padded) {
  Graph graph;
  Builder b(graph);
  constexpr int64_t kVocab = 512;
  const auto weight = [&](const char* name, Shape shape) {
    return b.parameter(name, shape, {}, {Init::Kind::kNormal, 0.05f, {}});
  };
  const ValueId ids = b.input("ids", DType::kI32, {s.tokens});
  const ValueId x = gather_rows(b, weight("embed", {kVocab, s.width}), ids, {}, DType::kF32, "x");
  const ValueId logits =
      linear(b, x, weight("router", {s.experts, s.width}), {}, "router", DType::kF32);
  const Route route = moe_route(b, logits, {s.top_k, true}, "route");
  Assignment a;
  if (padded) {
    const auto maps =
        b.apply(std::make_shared<PaddedAssignOp>(s), {route.experts, route.weights}, "assign");
    a = {maps[0], maps[1], maps[2]};
  } else {
    a = moe_assign(b, route.experts, route.weights, {s.experts}, "assign");
  }
  const ValueId rows = moe_dispatch(b, x, a.slots, a.sources, "dispatch");
  const ValueId gate =
      grouped_linear(b, rows, weight("gate", {s.experts, s.ffn, s.width}), a.offsets, "gate");
  const ValueId up =
      grouped_linear(b, rows, weight("up", {s.experts, s.ffn, s.width}), a.offsets, "up");
  const ValueId inner = gated(b, gate, up, kernels::Activation::kSilu, "act");
  const ValueId down =
      grouped_linear(b, inner, weight("down", {s.experts, s.width, s.ffn}), a.offsets, "down");
  const ValueId y = moe_combine(b, down, route.weights, a.slots, a.sources, {}, "combine");
  const ValueId scale = b.constant("scale", {1}, {1.0f / static_cast<float>(s.tokens)});
  const ValueId loss =
      linear_cross_entropy(b, y, weight("head", {16, s.width}),
                           b.input("targets", DType::kI32, {s.tokens}), scale, "loss");
  graph.mark_output("loss", loss);
  passes::differentiate(graph, loss);
  return passes::fuse(graph);
}

// The processor time of all threads of this process, so that neighbours on the machine count less.
double process_seconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

class Layer {
 public:
  Layer(const Sizes& sizes, bool padded, const kernels::KernelTable& table, ThreadPool& pool)
      : graph_(build(sizes, padded)), store_(1) {
    store_.add_missing(graph_);
    auto plan =
        passes::plan_memory(graph_, {.max = {}, .table = &table, .threads = pool.threads()});
    bytes_ = plan.total_bytes();
    executor_ = std::make_unique<runtime::Executor>(graph_, std::move(plan), store_, table, pool);
    for (int64_t t = 0; t < sizes.tokens; ++t) {
      ids_.push_back(static_cast<int32_t>(t * 7919 % 512));
      targets_.push_back(static_cast<int32_t>(t % 16));
    }
    executor_->bind_input("ids", ids_.data());
    executor_->bind_input("targets", targets_.data());
  }

  double step() {
    const double start = process_seconds();
    for (const char* program : {"forward", "backward"}) {
      executor_->run(executor_->program_index(program), {}, {.seed = 1, .step = 1});
    }
    return process_seconds() - start;
  }
  double loss() const { return *executor_->output("loss", {}).as<double>(); }
  int64_t bytes() const { return bytes_; }

 private:
  Graph graph_;
  runtime::VariableStore store_;
  std::unique_ptr<runtime::Executor> executor_;
  std::vector<int32_t> ids_, targets_;
  int64_t bytes_ = 0;
};

int run(int argc, char** argv) {
  Sizes sizes;
  int threads = 1, rounds = 9;
  std::string isa;
  CLI::App app("Mixture of experts: dropless against padded");
  app.add_option("--isa", isa);
  app.add_option("--threads", threads);
  app.add_option("--tokens", sizes.tokens);
  app.add_option("--experts", sizes.experts);
  app.add_option("--top-k", sizes.top_k);
  app.add_option("--width", sizes.width);
  app.add_option("--ffn", sizes.ffn);
  app.add_option("--capacity", sizes.capacity);
  app.add_option("--rounds", rounds);
  CLI11_PARSE(app, argc, argv);

  const IsaTier tier = isa_tier_from_name(isa).value_or(best_isa_tier());
  ThreadPool pool(threads);
  const kernels::KernelTable& table = kernels::kernel_table(tier);
  Layer dropless(sizes, false, table, pool), padded(sizes, true, table, pool);
  dropless.step();
  padded.step();
  std::vector<double> a, b;
  for (int i = 0; i < rounds; ++i) {
    a.push_back(dropless.step());
    b.push_back(padded.step());
  }
  std::ranges::sort(a);
  std::ranges::sort(b);
  const auto show = [&](const char* name, const Layer& layer, const std::vector<double>& times) {
    fmt::print("{:<9} {:8.1f} ms fastest, {:8.1f} ms median, {:6.1f} MB, loss {:.6f}\n", name,
               1e3 * times.front(), 1e3 * times[times.size() / 2],
               static_cast<double>(layer.bytes()) / 1e6, layer.loss());
  };
  fmt::print("{} tokens, {} of {} experts, width {}, ffn {}, capacity {}, {} thread(s), {}, {}\n",
             sizes.tokens, sizes.top_k, sizes.experts, sizes.width, sizes.ffn, sizes.capacity,
             threads, name(tier), cpu_info().model);
  show("dropless", dropless, a);
  show("padded", padded, b);
  fmt::print("dropless is {:.2f} times as fast (median {:.2f})\n", b.front() / a.front(),
             b[b.size() / 2] / a[a.size() / 2]);
  return 0;
}

}  // namespace
}  // namespace ashlar::graph

int main(int argc, char** argv) { return ashlar::graph::run(argc, argv); }
