// How a server shares out memory, in round numbers.
#include "ashlar/cli/serve_memory.h"

#include "ashlar/base/error.h"
#include "tests/base/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr generate::MemoryPlan kPlan{.weights = 1000, .packed = 5000, .work = 4000, .block = 100};

ServeMemory shared(const ServeConfig& config, int64_t context, int64_t bytes) {
  return share_memory(config, kPlan, context, {bytes, "test"});
}

std::string complaint_of(const ServeConfig& config, const ServeMemory& memory) {
  return testing::error_of([&] { check_memory(config, memory); });
}

TEST(ServeMemory, TheCacheGetsWhatIsLeft) {
  const ServeConfig config;
  const ServeMemory memory = shared(config, 160, 12'350);
  EXPECT_EQ(memory.blocks, 23);
  EXPECT_EQ(memory.total(), 12'300);
  EXPECT_NO_THROW(check_memory(config, memory));
}

TEST(ServeMemory, NoMoreThanAllSequencesCanFill) {
  ServeConfig config;
  config.max_num_seqs = 3;
  EXPECT_EQ(shared(config, 33, 1'000'000).blocks, 3 * 3);
}

TEST(ServeMemory, ANumberOfBytesForTheCacheCounts) {
  ServeConfig config;
  config.kv_cache_memory_bytes = 1'550;
  const ServeMemory memory = shared(config, 160, 1);
  EXPECT_EQ(memory.blocks, 15);
  EXPECT_NO_THROW(check_memory(config, memory));
}

TEST(ServeMemory, OneSequenceMustFit) {
  ServeConfig config;
  ServeMemory memory = shared(config, 160, 10'450);
  EXPECT_EQ(memory.blocks, 10) << "as the table shows what would be needed";
  EXPECT_THAT(complaint_of(config, memory),
              AllOf(HasSubstr("one sequence of 160 tokens take 11.0 kB"), HasSubstr("10.4 kB"),
                    HasSubstr("--max-model-len 64"), HasSubstr("--kv-cache-dtype bf16"),
                    HasSubstr("--dtype bf16")));
  config.dtype = config.kv_cache_dtype = DType::kBF16;
  EXPECT_THAT(complaint_of(config, memory), Not(HasSubstr("bf16")));
  memory = shared(config, 160, 9'000);  // not even the model
  EXPECT_THAT(complaint_of(config, memory),
              AllOf(HasSubstr("larger --memory"), Not(HasSubstr("--max-model-len"))));
}

TEST(ServeMemory, TheBudgetIsAPartOfWhatIsFreeOrAsTyped) {
  ServeConfig config;
  EXPECT_EQ(memory_budget(config, 1000).bytes, 900);
  EXPECT_THAT(memory_budget(config, 1000).source, HasSubstr("0.9 of 1.0 kB free"));
  config.memory_utilization = 0.5;
  EXPECT_EQ(memory_budget(config, 1000).bytes, 500);
  config.memory = 5000;
  EXPECT_EQ(memory_budget(config, 1000).bytes, 5000);
}

TEST(ServeMemory, ASystemThatDoesNotSayIsNoReasonToRefuse) {
  ServeConfig config;
  const ServeMemory memory = share_memory(config, kPlan, 160, memory_budget(config, 0));
  EXPECT_EQ(memory.blocks, 64 * 10);
  EXPECT_NO_THROW(check_memory(config, memory));
  EXPECT_THAT(memory.table(), HasSubstr("does not say"));
}

}  // namespace
}  // namespace ashlar::cli
