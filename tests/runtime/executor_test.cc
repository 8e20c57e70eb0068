// The fast executor against the fp64 reference run of the same graph, its bits over thread counts,
// microbatch slots, plans and dtypes.
#include "ashlar/runtime/executor.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/error.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/passes/precision.h"
#include "ashlar/passes/recompute.h"
#include "tests/base/heap_calls.h"
#include "tests/runtime/patterned_arena.h"
#include "tests/runtime/small_models.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ashlar::runtime {
namespace {

using testing::SmallBatch;
using testing::SmallModelOptions;

const SmallModelOptions kLlama{};
const SmallModelOptions kGpt2{.layer_norm = true, .kv_heads = 3, .dropout = 0.1, .tied = true};
constexpr DType kDTypes[] = {DType::kF32, DType::kBF16};

std::string label(const SmallModelOptions& model, DType dtype) {
  return fmt::format("{}, {}", model.layer_norm ? "gpt2" : "llama", name(dtype));
}

struct Trained {
  graph::Graph graph;
  std::map<graph::VariableId, graph::VariableId> gradients;
};

Trained training_graph(const SmallModelOptions& model, bool fused, DType dtype = DType::kF32) {
  Trained result;
  result.graph = testing::small_model(model);
  result.gradients = passes::differentiate(result.graph, result.graph.output("loss"));
  result.graph = passes::precision(result.graph, dtype);
  if (fused) result.graph = passes::fuse(result.graph);
  return result;
}

struct Result {
  double loss;
  std::map<std::string, std::vector<float>> gradients;
};

class Session {
 public:
  Session(const Trained& trained, const SmallBatch& largest, IsaTier tier, int threads, int slots,
          int weight_slots = 0, bool shares_arena = false)
      : trained_(trained), pool_(threads), store_(5) {
    store_.add_missing(trained.graph);
    store_.refresh_shadows(trained.graph);
    const kernels::KernelTable& table = kernels::kernel_table(tier);
    auto plan = passes::plan_memory(trained.graph, {.max = largest.bindings,
                                                    .slots = slots,
                                                    .weight_slots = weight_slots,
                                                    .shares_arena = shares_arena,
                                                    .table = &table,
                                                    .threads = threads});
    executor_.emplace(trained.graph, std::move(plan), store_, table, pool_);
  }

  Executor& executor() { return *executor_; }
  VariableStore& store() { return store_; }

  double forward(const SmallBatch& batch, const graph::RunState& state, SlotPair slot = {}) {
    run("forward", batch, state, slot);
    return *executor_->output("loss", batch.bindings, slot).as<double>();
  }
  void backward(const SmallBatch& batch, const graph::RunState& state, SlotPair slot = {}) {
    run("backward", batch, state, slot);
  }
  void run(const char* program, const SmallBatch& batch, const graph::RunState& state,
           SlotPair slot = {}) {
    testing::bind_inputs(*executor_, batch);
    executor_->run(executor_->program_index(program), batch.bindings, state, slot);
  }
  Result step(const SmallBatch& batch) {
    const graph::RunState state{.seed = 3, .step = 1};
    Result result{forward(batch, state), {}};
    backward(batch, state);
    result.gradients = gradients();
    return result;
  }
  std::map<std::string, std::vector<float>> gradients() {
    std::map<std::string, std::vector<float>> result;
    for (const auto& [parameter, gradient] : trained_.gradients) {
      const std::string& name = trained_.graph.variable(gradient).name;
      const auto values = store_.at(name).span<float>();
      result[name].assign(values.begin(), values.end());
    }
    return result;
  }

 private:
  const Trained& trained_;
  ThreadPool pool_;
  VariableStore store_;
  std::optional<Executor> executor_;
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class ExecutorTest : public ::testing::TestWithParam<IsaTier> {
 protected:
  void SetUp() override {
    if (!can_run(GetParam())) {
      GTEST_SKIP() << "tier " << name(GetParam()) << " cannot run on this machine";
    }
  }
};

TEST_P(ExecutorTest, EqualsTheReferenceRun) {
  for (const SmallModelOptions& model : {kLlama, kGpt2}) {
    for (const bool fused : {false, true}) {
      const Trained trained = training_graph(model, fused);
      const SmallBatch batch = testing::small_batch(model, {7, 1, 9}, 21);
      Session session(trained, batch, GetParam(), 2, 1);
      const Result result = session.step(batch);

      VariableStore fresh(5);
      fresh.add_missing(trained.graph);
      ReferenceRun reference(trained.graph, batch.bindings, fresh);
      testing::set_inputs(reference, batch);
      reference.run({.seed = 3, .step = 1});
      EXPECT_NEAR(result.loss, reference.output("loss")[0], 2e-6);
      for (const auto& [name, gradient] : result.gradients) {
        const std::vector<double>& expected = reference.variable(name);
        double norm = 0;
        for (const double value : expected) norm += value * value;
        norm = std::sqrt(norm);
        for (size_t i = 0; i < expected.size(); ++i) {
          ASSERT_NEAR(static_cast<double>(gradient[i]), expected[i], 1e-5 * norm + 1e-7)
              << name << "[" << i << "]";
        }
      }
    }
  }
}

TEST_P(ExecutorTest, ThreadsDoNotChangeBits) {
  for (const SmallModelOptions& model : {kLlama, kGpt2}) {
    for (const DType dtype : kDTypes) {
      const Trained trained = training_graph(model, true, dtype);
      const SmallBatch batch = testing::small_batch(model, {40, 3, 17}, 22);
      Session one(trained, batch, GetParam(), 1, 1);
      const Result expected = one.step(batch);
      for (const int threads : {2, 3}) {
        Session session(trained, batch, GetParam(), threads, 1);
        const Result result = session.step(batch);
        EXPECT_EQ(result.loss, expected.loss) << label(model, dtype);
        for (const auto& [name, gradient] : expected.gradients) {
          EXPECT_TRUE(same_bits(gradient, result.gradients.at(name)))
              << label(model, dtype) << ", " << threads << " threads: " << name;
        }
      }
    }
  }
}

// Three forwards before any backward, each microbatch in a slot of its own, against forward and
// backward in turn. (Untied: with a tied head, contributions from F and B to one gradient would
// come in another order.)
TEST_P(ExecutorTest, MicrobatchSlotsKeepBits) {
  const Trained trained = training_graph(kLlama, true);
  std::vector<SmallBatch> batches;
  for (const uint64_t seed : {31u, 32u, 33u}) {
    batches.push_back(testing::small_batch(kLlama, {8, 4}, seed));
  }
  Session in_turn(trained, batches[0], GetParam(), 2, 1);
  Session pipelined(trained, batches[0], GetParam(), 2, 3);
  const auto state = [](size_t i) {
    return graph::RunState{.seed = 3, .step = 1, .first_microbatch = i == 0};
  };
  std::vector<double> losses;
  for (size_t i = 0; i < 3; ++i) {
    losses.push_back(in_turn.forward(batches[i], state(i)));
    in_turn.backward(batches[i], state(i));
  }
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(pipelined.forward(batches[i], state(i), {static_cast<int>(i)}), losses[i]);
  }
  for (size_t i = 0; i < 3; ++i) {
    pipelined.backward(batches[i], state(i), {static_cast<int>(i)});
  }
  const auto expected = in_turn.gradients(), found = pipelined.gradients();
  for (const auto& [name, gradient] : expected) {
    EXPECT_TRUE(same_bits(gradient, found.at(name))) << name;
  }
  EXPECT_GT(pipelined.executor().plan().slot_bytes, 0);
}

// W runs behind B, two microbatches late: fewer slots until B than until W. Between the Programs
// somebody else has the arena.
TEST_P(ExecutorTest, DelayedWeightGradientsKeepBits) {
  for (const bool recomputes : {false, true}) {
    Trained trained = training_graph(kLlama, true);
    if (recomputes) trained.graph = passes::recompute(trained.graph, passes::Recompute::kFull);
    std::vector<SmallBatch> batches;
    for (const uint64_t seed : {31u, 32u, 33u, 34u}) {
      batches.push_back(testing::small_batch(kLlama, {8, 4}, seed));
    }
    Session in_turn(trained, batches[0], GetParam(), 2, 1);
    Session split(trained, batches[0], GetParam(), 2, 1, 3, true);
    const auto state = [](size_t i) {
      return graph::RunState{.seed = 3, .step = 1, .first_microbatch = i == 0};
    };
    const auto run = [&](const char* program, size_t i) {
      split.run(program, batches[i], state(i), {0, static_cast<int>(i % 3)});
      const auto bytes = static_cast<size_t>(split.executor().plan().arena_bytes);
      std::memset(split.executor().arena().data(), 0xff, bytes);
    };
    for (size_t i = 0; i < batches.size(); ++i) {
      in_turn.forward(batches[i], state(i));
      in_turn.backward(batches[i], state(i));
      run("forward", i);
      run("input_grad", i);
      if (i >= 2) run("weight_grad", i - 2);
    }
    run("weight_grad", 2);
    run("weight_grad", 3);
    const auto expected = in_turn.gradients(), found = split.gradients();
    for (const auto& [name, gradient] : expected) {
      EXPECT_TRUE(same_bits(gradient, found.at(name))) << name;
    }
  }
}

TEST_P(ExecutorTest, Bf16StaysNearF32) {
  for (const SmallModelOptions& model : {kLlama, kGpt2}) {
    const Trained f32 = training_graph(model, true);
    const Trained half = training_graph(model, true, DType::kBF16);
    const SmallBatch batch = testing::small_batch(model, {7, 12}, 24);
    Session exact(f32, batch, GetParam(), 2, 1), rounded(half, batch, GetParam(), 2, 1);
    const Result a = exact.step(batch), b = rounded.step(batch);
    EXPECT_NEAR(a.loss, b.loss, 0.02 * a.loss);
    for (const auto& [name, gradient] : a.gradients) {
      double error = 0, norm = 0;
      for (size_t i = 0; i < gradient.size(); ++i) {
        const double d =
            static_cast<double>(gradient[i]) - static_cast<double>(b.gradients.at(name)[i]);
        error += d * d;
        norm += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
      }
      EXPECT_LT(std::sqrt(error), 0.1 * std::sqrt(norm) + 1e-4) << name;
    }
  }
}

// The plan's mark is real: a run at the planned maximum writes the arena up to its last planned
// byte, and not beyond.
TEST_P(ExecutorTest, TheArenaIsUsedToItsMark) {
  for (const SmallModelOptions& model : {kLlama, kGpt2}) {
    for (const DType dtype : kDTypes) {
      for (const int slots : {1, 3}) {
        const Trained trained = training_graph(model, true, dtype);
        const SmallBatch batch = testing::small_batch(model, {30, 34}, 25);
        Session session(trained, batch, GetParam(), 1, slots);
        const testing::PatternedArena arena(session.executor());
        for (int slot = 0; slot < slots; ++slot) session.forward(batch, {.step = 1}, {slot});
        for (int slot = 0; slot < slots; ++slot) session.backward(batch, {.step = 1}, {slot});
        testing::expect_used_to_its_mark(arena, session.executor(),
                                         fmt::format("{}, {} slots", label(model, dtype), slots));
      }
    }
  }
}

// After three steps to warm up, no run allocates, on any thread, whatever the batch.
TEST_P(ExecutorTest, RunsWithoutTheHeap) {
  if (!testing::counts_heap_calls()) GTEST_SKIP() << "the sanitizer has a malloc of its own";
  for (const SmallModelOptions& model : {kLlama, kGpt2}) {
    for (const DType dtype : kDTypes) {
      const Trained trained = training_graph(model, true, dtype);
      const SmallBatch largest = testing::small_batch(model, {30, 34, 20}, 28);
      Session session(trained, largest, GetParam(), 3, 1);
      std::vector<SmallBatch> batches;
      for (const int32_t length : {3, 34, 1, 20}) {
        batches.push_back(testing::small_batch(model, {length, 30}, 29));
      }
      for (uint64_t step = 1; step <= 3; ++step) {
        session.forward(largest, {.seed = 3, .step = step});
        session.backward(largest, {.seed = 3, .step = step});
      }
      std::vector<int64_t> calls;
      calls.reserve(batches.size());
      for (const SmallBatch& batch : batches) {
        testing::bind_inputs(session.executor(), batch);
        const int64_t before = testing::heap_calls();
        session.executor().run(0, batch.bindings, {.seed = 3, .step = 4});
        session.executor().run(1, batch.bindings, {.seed = 3, .step = 4});
        calls.push_back(testing::heap_calls() - before);
      }
      EXPECT_EQ(calls, std::vector<int64_t>(batches.size(), 0)) << label(model, dtype);
    }
  }
  EXPECT_GT(testing::heap_calls(), 0);
}

TEST_P(ExecutorTest, NonFiniteValuesAreTracedToTheirOp) {
  const Trained trained = training_graph(kLlama, true);
  const SmallBatch batch = testing::small_batch(kLlama, {6}, 26);
  Session session(trained, batch, GetParam(), 1, 1);
  session.store().at("layers.1.up.weight").as<float>()[3] = INFINITY;
  testing::bind_inputs(session.executor(), batch);
  try {
    session.executor().run_checked(0, batch.bindings, {.seed = 3, .step = 7});
    FAIL() << "an infinite weight went unnoticed";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "op layers.1.up (linear, layer 1) gave a NaN or infinity at step 7");
  }
}

TEST_P(ExecutorTest, RefusesMoreThanWasPlanned) {
  const Trained trained = training_graph(kLlama, true);
  const SmallBatch small = testing::small_batch(kLlama, {4}, 27);
  const SmallBatch large = testing::small_batch(kLlama, {5}, 27);
  Session session(trained, small, GetParam(), 1, 1);
  EXPECT_THROW(session.step(large), Error);
  EXPECT_GT(session.step(small).loss, 0);
}

INSTANTIATE_TEST_SUITE_P(Tiers, ExecutorTest, ::testing::ValuesIn(all_isa_tiers()),
                         [](const auto& test) {
                           std::string text(name(test.param));
                           std::ranges::replace(text, '-', '_');
                           return text;
                         });

}  // namespace
}  // namespace ashlar::runtime
