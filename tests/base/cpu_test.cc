#include "ashlar/base/cpu.h"

#include "ashlar/base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

TEST(CpuTest, NamesGoBothWays) {
  for (const IsaTier tier : all_isa_tiers()) EXPECT_EQ(isa_tier_from_name(name(tier)), tier);
  EXPECT_EQ(name(IsaTier::kAvx512OnAvx2), "avx512-on-avx2");
  EXPECT_EQ(isa_tier_from_name("avx1024"), std::nullopt);
  EXPECT_EQ(isa_tier_from_name(""), std::nullopt);
  EXPECT_EQ(all_isa_tiers().size(), 7u);
}

TEST(CpuTest, RunnableTiers) {
  const auto runnable = runnable_isa_tiers();
  EXPECT_THAT(runnable, Contains(IsaTier::kScalar));
  EXPECT_THAT(runnable, Contains(best_isa_tier()));
  EXPECT_NE(best_isa_tier(), IsaTier::kAvx512OnAvx2);
  EXPECT_NE(best_isa_tier(), IsaTier::kAmxOnAvx512);
  EXPECT_TRUE(std::ranges::is_sorted(runnable));
  EXPECT_EQ(can_run(IsaTier::kAvx2), can_run(IsaTier::kAvx512OnAvx2));
  EXPECT_EQ(can_run(IsaTier::kAvx512), can_run(IsaTier::kAmxOnAvx512));
  EXPECT_LE(can_run(IsaTier::kAvx512Bf16), can_run(IsaTier::kAvx512));
  EXPECT_LE(can_run(IsaTier::kAvx512), can_run(IsaTier::kAvx2));
}

// The kernel's own list of flags must agree with what the processor told us.
TEST(CpuTest, AgreesWithTheSystem) {
  const std::string cpuinfo = read_file("/proc/cpuinfo");
  const size_t flags_at = cpuinfo.find("\nflags");
  if (flags_at == std::string::npos) GTEST_SKIP() << "/proc/cpuinfo lists no flags here";
  const std::string flags =
      cpuinfo.substr(flags_at + 1, cpuinfo.find('\n', flags_at + 1) - flags_at - 1) + " ";
  const auto has = [&](const char* flag) {
    return flags.find(" " + std::string(flag) + " ") != std::string::npos;
  };
  EXPECT_EQ(can_run(IsaTier::kAvx2), has("avx2") && has("fma") && has("f16c") && has("bmi2"));
  EXPECT_EQ(can_run(IsaTier::kAvx512), can_run(IsaTier::kAvx2) && has("avx512f") &&
                                           has("avx512bw") && has("avx512dq") && has("avx512vl") &&
                                           has("avx512_vnni"));
  EXPECT_EQ(can_run(IsaTier::kAvx512Bf16), can_run(IsaTier::kAvx512) && has("avx512_bf16"));
  const CpuInfo info = cpu_info();
  EXPECT_EQ(info.features.find("avx2") != std::string::npos, has("avx2"));
  EXPECT_THAT(cpuinfo, HasSubstr(info.model));
}

TEST(CpuTest, CountsCores) {
  const CpuInfo info = cpu_info();
  EXPECT_GE(info.logical_cores, 1);
  EXPECT_GE(info.physical_cores, 1);
  EXPECT_GE(info.l1d_bytes, 0);
  EXPECT_GE(info.l3_bytes, 0);
}

}  // namespace
}  // namespace ashlar
