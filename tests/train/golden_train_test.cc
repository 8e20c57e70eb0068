// Five AdamW steps as transformers and torch did them.
#include "ashlar/train/golden_train.h"

#include "tests/train/tiny_run.h"

#include <gtest/gtest.h>

namespace ashlar::train {
namespace {

TEST(GoldenTrainTest, EqualsTheGoldens) {
  ThreadPool pool(2);
  for (const IsaTier tier : runnable_isa_tiers()) {
    for (const char* model : {"gpt2", "llama", "llama2", "mixtral"}) {
      const auto golden = check_golden_train(testing::fixture(model), pool, tier);
      ASSERT_TRUE(golden.has_value());
      EXPECT_GT(golden->checks.size(), 20u);
      for (const GoldenCheck& check : golden->checks) {
        EXPECT_TRUE(check.passed())
            << name(tier) << " " << model << " " << check.name << ": " << check.found << ", wanted "
            << check.wanted << " to " << check.allowed;
      }
    }
  }
}

}  // namespace
}  // namespace ashlar::train
