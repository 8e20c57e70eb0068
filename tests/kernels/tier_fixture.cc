#include "tests/kernels/tier_fixture.h"

#include <algorithm>
#include <memory>

namespace ashlar::kernels {
namespace {

void run_tasks(void* pool, int64_t tasks, ThreadPool::Task task, void* context) {
  static_cast<ThreadPool*>(pool)->run(tasks, task, context);
}

}  // namespace

Team TestTeam::with_scratch(int64_t bytes) {
  constexpr size_t kAlignment = 64;
  scratch_.assign(static_cast<size_t>(bytes) + kAlignment, std::byte{0xff});
  void* aligned = scratch_.data();
  size_t space = scratch_.size();
  std::align(kAlignment, static_cast<size_t>(bytes), aligned, space);
  Team team;
  team.pool = pool_.get();
  team.run_tasks = &run_tasks;
  team.threads = pool_->threads();
  team.scratch = static_cast<std::byte*>(aligned);
  team.scratch_bytes = bytes;
  return team;
}

void TierTest::SetUp() {
  if (!can_run(GetParam())) {
    GTEST_SKIP() << "tier " << name(GetParam()) << " cannot run on this processor";
  }
}

std::vector<TestTeam>& TierTest::teams() {
  static std::vector<TestTeam> teams = [] {
    std::vector<TestTeam> made;
    for (const int threads : {1, 2, 3}) made.emplace_back(threads);
    return made;
  }();
  return teams;
}

std::string tier_test_name(const testing::TestParamInfo<IsaTier>& info) {
  std::string text(name(info.param));
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

std::vector<IsaTier> runnable_vector_tiers() {
  std::vector<IsaTier> tiers = runnable_isa_tiers();
  std::erase(tiers, IsaTier::kScalar);
  return tiers;
}

}  // namespace ashlar::kernels
