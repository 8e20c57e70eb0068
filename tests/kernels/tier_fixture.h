// The fixture of kernel tests: one instance a tier, skipped where the processor cannot run it, with
// teams of 1, 2 and 3 threads. A kernel's bits may not depend on the team.
#pragma once

#include "ashlar/base/cpu.h"
#include "ashlar/base/thread_pool.h"
#include "ashlar/kernels/table.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace ashlar::kernels {

// A pool as kernels see it, with scratch of its own.
class TestTeam {
 public:
  explicit TestTeam(int threads) : pool_(std::make_unique<ThreadPool>(threads)) {}
  // The team with at least this much scratch, filled with NaNs.
  Team with_scratch(int64_t bytes = 0);
  int threads() const { return pool_->threads(); }

 private:
  std::unique_ptr<ThreadPool> pool_;
  std::vector<std::byte> scratch_;
};

class TierTest : public testing::TestWithParam<IsaTier> {
 protected:
  void SetUp() override;
  const KernelTable& table() const { return kernel_table(GetParam()); }
  // Teams of 1, 2 and 3 threads.
  static std::vector<TestTeam>& teams();
};

// "avx512_on_avx2": names of test instances hold no dashes.
std::string tier_test_name(const testing::TestParamInfo<IsaTier>& info);

// The tiers whose f32 bits must be equal, as far as they run here: avx2, avx512-on-avx2, avx512,
// avx512bf16.
std::vector<IsaTier> runnable_vector_tiers();

#define ASHLAR_TEST_EACH_TIER(fixture)                                                 \
  INSTANTIATE_TEST_SUITE_P(Tiers, fixture, testing::ValuesIn(ashlar::all_isa_tiers()), \
                           ashlar::kernels::tier_test_name)

}  // namespace ashlar::kernels
