// The planned peak is what runs touch, for models of the size that people train on characters: of
// an arena filled with a pattern, training and serving at the planned maximum change bytes up to
// the plan's mark and none beyond.
#include "ashlar/base/cpu.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/models/family.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/passes/precision.h"
#include "tests/graph/counter_values.h"
#include "tests/models/model_run.h"
#include "tests/runtime/patterned_arena.h"

#include <gtest/gtest.h>

#include <numeric>

namespace ashlar::models {
namespace {

constexpr int32_t kSeqs = 2, kLength = 150, kTokens = kSeqs * kLength, kBlock = 16;

// Two layers of char-10m's width.
DecoderConfig char_sized(const std::string& family) {
  return new_decoder(
      family,
      {.vocab = 65, .width = 384, .layers = 2, .heads = 6, .max_positions = 256, .kv_heads = 6});
}

// A batch of the planned maximum: two sequences of 150 tokens.
class ArenaMark : public ::testing::TestWithParam<std::tuple<const char*, DType>> {
 protected:
  DecoderConfig config() const { return char_sized(std::get<0>(GetParam())); }
  DType dtype() const { return std::get<1>(GetParam()); }

  // One thread: scratch of a thread that finds no task is planned, but not touched.
  void expect_mark(const graph::Graph& graph, int64_t outputs) {
    const graph::Bindings sizes = testing::bindings(kTokens, kSeqs, outputs);
    const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
    runtime::VariableStore store(1);
    store.add_missing(graph);
    store.refresh_shadows(graph);
    ThreadPool pool(1);
    runtime::Executor executor(
        graph, passes::plan_memory(graph, {.max = sizes, .table = &table, .threads = 1}), store,
        table, pool);
    bind_inputs(executor);
    const testing::PatternedArena arena(executor);
    for (size_t i = 0; i < executor.plan().programs.size(); ++i) {
      executor.run(static_cast<int>(i), sizes, {.step = 1});
    }
    testing::expect_used_to_its_mark(arena, executor, fmt::format("{} outputs", outputs));
  }

  void bind_inputs(runtime::Executor& executor) {
    for (const auto& [name, id] : executor.graph().inputs()) {
      if (name == "loss_scale") {
        executor.bind_input(name, &kLossScale);
      } else {
        executor.bind_input(name, inputs_.at(name).data());
      }
    }
  }

  static constexpr float kLossScale = 1.0f / kTokens;
  static constexpr int32_t kWidth = (kLength + kBlock - 1) / kBlock;  // of the block table
  std::map<std::string, std::vector<int32_t>> inputs_ = [] {
    std::map<std::string, std::vector<int32_t>> inputs = {
        {"tokens", graph::counter_ids("tokens", kTokens, 65)},
        {"targets", graph::counter_ids("targets", kTokens, 65)},
        {"row_start", {0, kLength, kTokens}},
        {"context", {kLength, kLength}},
        {"output_rows", std::vector<int32_t>(kTokens)},
        {"block_table", std::vector<int32_t>(kSeqs * kWidth)}};
    std::iota(inputs["output_rows"].begin(), inputs["output_rows"].end(), 0);
    std::iota(inputs["block_table"].begin(), inputs["block_table"].end(), 0);
    for (int32_t i = 0; i < kTokens; ++i) {
      inputs["positions"].push_back(i % kLength);
      inputs["slots"].push_back(i / kLength * kWidth * kBlock + i % kLength);
    }
    return inputs;
  }();
};

TEST_P(ArenaMark, Training) {
  graph::Graph graph = build_training(config());
  passes::differentiate(graph, graph.output("loss"));
  expect_mark(passes::fuse(passes::precision(graph, dtype())), 0);
}

TEST_P(ArenaMark, Serving) {
  const ServingSpec spec{.blocks = kSeqs * kWidth, .table_width = kWidth, .pool = dtype()};
  const DecoderOptions options{.weights = dtype(), .activations = dtype()};
  for (const int64_t outputs : {int64_t{kSeqs}, int64_t{kTokens}}) {
    expect_mark(passes::fuse(build_serving(config(), spec, options)), outputs);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ArenaMark,
                         ::testing::Combine(::testing::Values("gpt2", "llama"),
                                            ::testing::Values(DType::kF32, DType::kBF16)),
                         [](const auto& test) {
                           return fmt::format("{}_{}", std::get<0>(test.param),
                                              name(std::get<1>(test.param)));
                         });

}  // namespace
}  // namespace ashlar::models
