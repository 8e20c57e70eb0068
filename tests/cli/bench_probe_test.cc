#include "ashlar/cli/bench_probe.h"

#include <gtest/gtest.h>

namespace ashlar::cli {
namespace {

kernels::ProbeRates rates(double f32) {
  kernels::ProbeRates rates;
  rates.f32_operations = f32;
  return rates;
}

// How many probes a figure takes, and the best of them; each probe is 10 above the one before.
std::pair<int, double> probed(double first, double figure) {
  int probes = 0;
  const kernels::ProbeRates best = probe_behind(
      rates(first), [&](const kernels::ProbeRates& now) { return figure <= now.f32_operations; },
      [&] { return rates(10 * ++probes); });
  return {probes, best.f32_operations};
}

TEST(BenchProbe, ProbesOnceMoreWhileAFigureIsAboveAll) {
  EXPECT_EQ(probed(50, 45), std::pair(1, 50.0));
  EXPECT_EQ(probed(5, 25), std::pair(3, 30.0));
  EXPECT_EQ(probed(5, 1000), std::pair(kMostProbes, 10.0 * kMostProbes));  // an error, then
}

}  // namespace
}  // namespace ashlar::cli
