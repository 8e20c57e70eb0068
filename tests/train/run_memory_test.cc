// A cap on what a rank may hold: run.memory.
#include "ashlar/base/cpu.h"
#include "ashlar/train/run_plan.h"
#include "tests/base/messages.h"
#include "tests/train/tiny_run.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::train {
namespace {

using ::ashlar::testing::error_of;
using ::testing::HasSubstr;

TEST(RunMemory, OneByteTooFewIsRefusedBeforeTheFirstStep) {
  const testing::TinyRun tiny;
  TrainConfig config = tiny.config("run");
  config.train.steps = 2;
  config.train.warmup = 0;
  const RunPlan plan = plan_run(config, kernels::kernel_table(best_isa_tier()), {});
  const int64_t bytes = plan.ranks[0].memory.total();
  plan.check_memory(bytes);
  plan.check_memory(0);  // no cap
  config.run.memory = bytes - 1;
  const std::string planned = error_of([&] { plan.check_memory(config.run.memory); });
  // The part that does not fit, those that do, and the cap.
  EXPECT_THAT(planned, HasSubstr("config run.memory: rank 0: batches asks for "));
  EXPECT_THAT(planned, HasSubstr("optimizers "));
  EXPECT_THAT(planned, HasSubstr(fmt::format("the cap is {}: 1 too many", bytes - 1)));
  EXPECT_EQ(error_of([&] { testing::run(config); }), planned);
  config.run.memory = bytes;
  config.run.dir = tiny.path("other");
  EXPECT_EQ(testing::run(config).last_step, 2);
}

}  // namespace
}  // namespace ashlar::train
