// What the plan says before loading is what a runner then has.
#include "ashlar/generate/memory_plan.h"

#include "ashlar/base/cpu.h"
#include "ashlar/kernels/table.h"
#include "tests/generate/random_model.h"

#include <gtest/gtest.h>

namespace ashlar::generate {
namespace {

TEST(MemoryPlan, IsWhatTheRunnerTakes) {
  const testing::RandomModelSizes sizes{.width = 64, .layers = 3, .ffn = 96};
  const models::DecoderConfig config = testing::random_model_config(sizes);
  ThreadPool pool(2);
  for (const DType cache : {DType::kF32, DType::kBF16}) {
    ModelOptions options;
    options.limits = {.tokens = 40, .seqs = 3, .outputs = 6};
    options.cache = cache;
    options.blocks = 10;
    options = resolve(options, config);
    const MemoryPlan plan =
        plan_memory(config, options, kernels::kernel_table(best_isa_tier()), pool.threads());
    const auto runner = testing::random_runner(sizes, options, pool);
    EXPECT_EQ(plan.work, runner->executor().plan().total_bytes());
    EXPECT_EQ(plan.block,
              3 * 2 * kBlockTokens * config.kv_heads * config.head_dim * size_of(cache));
    EXPECT_EQ(plan.without_cache() + options.blocks * plan.block, runner->bytes());
    EXPECT_GT(plan.packed, plan.weights);
  }
}

TEST(MemoryPlan, CountsWholeBlocks) {
  EXPECT_EQ(blocks_for(1), 1);
  EXPECT_EQ(blocks_for(kBlockTokens), 1);
  EXPECT_EQ(blocks_for(kBlockTokens + 1), 2);
}

}  // namespace
}  // namespace ashlar::generate
