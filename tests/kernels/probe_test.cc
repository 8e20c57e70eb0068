#include "ashlar/kernels/probe.h"

#include "ashlar/base/clock.h"
#include "ashlar/base/cpu.h"
#include "ashlar/base/error.h"
#include "tests/kernels/tier_fixture.h"

#include <gtest/gtest.h>

namespace ashlar::kernels {
namespace {

// Each look at it takes a tick, so that what is measured does not depend on the machine.
class TickingClock : public Clock {
 public:
  double now() const override { return now_ += kTick; }
  static constexpr double kTick = 0.0625;

 private:
  mutable double now_ = 0;
};

class ProbeTest : public TierTest {};

TEST_P(ProbeTest, MeasuresEveryThreadCountAndWhatTheTierHas) {
  const TickingClock clock;
  ProbeEffort effort;
  effort.windows = 2;
  effort.buffer_bytes = 1'000'004;  // slices of unequal length
  const MachineProbe probe = probe_machine(GetParam(), {1, 3}, clock, effort);
  EXPECT_EQ(probe.tier, GetParam());
  EXPECT_EQ(probe.buffer_bytes, effort.buffer_bytes);
  ASSERT_EQ(probe.rates.size(), 2u);
  EXPECT_EQ(probe.rates[0].threads, 1);
  EXPECT_EQ(probe.rates[1].threads, 3);
  const bool multiplies_bytes = GetParam() != IsaTier::kScalar;
  for (const ProbeRates& rates : probe.rates) {
    // One round fills a window of 0.05 s by this clock, and is timed as one tick.
    EXPECT_DOUBLE_EQ(rates.read_bytes, 1'000'004 / TickingClock::kTick);
    const double f32 = rates.f32_operations;
    EXPECT_GT(f32, 0);
    // In one instruction there are 2 bf16 or 4 byte products where there is 1 of f32; on avx2 2
    // byte products, and 4 by codes of four bits; on amx, one of f32 takes 6 of bf16.
    const bool amx = GetParam() == IsaTier::kAmx;
    const double bf16 = (amx ? 6 : 2) * f32;
    EXPECT_DOUBLE_EQ(rates.bf16_operations.value_or(bf16), bf16);
    const bool avx2 = GetParam() == IsaTier::kAvx2 || GetParam() == IsaTier::kAvx512OnAvx2;
    if (!amx && multiplies_bytes) {
      EXPECT_DOUBLE_EQ(rates.int8_operations.value(), (avx2 ? 2 : 4) * f32);
    }
    EXPECT_EQ(rates.int4_operations, avx2 ? std::optional(4 * f32) : std::nullopt);
    EXPECT_EQ(rates.bf16_operations.has_value(), amx || GetParam() == IsaTier::kAvx512Bf16);
    EXPECT_EQ(rates.int8_operations.has_value(), multiplies_bytes);
  }
}

ASHLAR_TEST_EACH_TIER(ProbeTest);

TEST(Probe, RefusesWhatCannotBe) {
  const SteadyClock clock;
  EXPECT_THROW(probe_machine(IsaTier::kScalar, {0}, clock), UsageError);
  for (const IsaTier tier : all_isa_tiers()) {
    if (can_run(tier)) continue;
    EXPECT_THROW(probe_machine(tier, {1}, clock), UsageError);
  }
}

}  // namespace
}  // namespace ashlar::kernels
