// The ceilings of this machine, measured: how fast threads read memory and multiply, in the loops
// of one tier. Every other speed is a share of these (`ashlar bench machine`).
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/base/isa_tier.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace ashlar::kernels {

// Best of `windows` stretches of at least `window_seconds`. Memory is read from a buffer of at
// least buffer_bytes and four times the last-level cache.
struct ProbeEffort {
  int windows = 20;
  double window_seconds = 0.05;
  int64_t buffer_bytes = int64_t{256} << 20;
};

// All threads together, per second. A multiplication and an addition are two operations.
struct ProbeRates {
  int threads = 1;
  double read_bytes = 0;
  double f32_operations = 0;
  std::optional<double> bf16_operations;  // dot products; none: the tier has no such instruction
  std::optional<double> int8_operations;  // the same
  std::optional<double> int4_operations;  // four bits by eight; none: they take as long as those
};

struct MachineProbe {
  IsaTier tier = IsaTier::kScalar;
  int64_t buffer_bytes = 0;       // that were read
  std::vector<ProbeRates> rates;  // one for each thread count asked for, in that order
};

// Throws UsageError when the processor cannot run the tier or a thread count is below 1.
MachineProbe probe_machine(IsaTier tier, const std::vector<int>& thread_counts, const Clock& clock,
                           const ProbeEffort& effort = {});

}  // namespace ashlar::kernels
