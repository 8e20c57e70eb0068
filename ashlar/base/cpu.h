// What this processor can run: which of the ISA tiers kernels are compiled for, cores, caches.
#pragma once

#include "ashlar/base/isa_tier.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar {

// "scalar", "avx2", "avx512-on-avx2", "avx512", "avx512bf16", "amx-on-avx512", "amx".
std::string_view name(IsaTier tier);
std::optional<IsaTier> isa_tier_from_name(std::string_view name);

// Whether this processor (and operating system) can run the tier. For amx, Linux is asked to let
// this process use it, which it does for processes whose signal stacks are large enough.
bool can_run(IsaTier tier);
// Every tier, slowest first; those this processor can run.
const std::vector<IsaTier>& all_isa_tiers();
std::vector<IsaTier> runnable_isa_tiers();
// The fastest one that runs here (never an emulation). Intel's processors multiply bf16 pairs at
// half the rate of widened f32 (`ashlar bench machine`), so there it is avx512.
IsaTier best_isa_tier();

struct CpuInfo {
  std::string model;       // "AMD EPYC ..."
  int logical_cores = 1;   // cores this process may use
  int physical_cores = 1;  // of the machine, as far as known
  std::string features;    // the ones kernels care about, space separated
  int64_t l1d_bytes = 0, l2_bytes = 0, l3_bytes = 0;
};
CpuInfo cpu_info();

}  // namespace ashlar
