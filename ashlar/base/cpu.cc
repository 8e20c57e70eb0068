#include "ashlar/base/cpu.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <fstream>
#include <set>
#include <utility>

namespace ashlar {
namespace {

#if defined(__x86_64__)
bool has_f16c() {  // leaf 1: a name that __builtin_cpu_supports of clang 14 lacks
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c() &&
         __builtin_cpu_supports("bmi2");
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}
bool has_avx512bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }

// AMX-TILE, AMX-BF16 and AMX-INT8 (leaf 7), tiles saved by the system (XCR0), and its leave to use
// them.
bool ask_for_amx() {
  constexpr int kRequestState = 0x1023, kTileData = 18;
  constexpr uint64_t kTiles = uint64_t{3} << 17;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!has_avx512() || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  if ((d >> 22 & 1) == 0 || (d >> 24 & 3) != 3) return false;
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & kTiles) != kTiles) return false;
  return syscall(SYS_arch_prctl, kRequestState, kTileData) == 0;
}
bool has_amx() {
  static const bool has = ask_for_amx();
  return has;
}
bool has_slow_bf16_pairs() {
  __builtin_cpu_init();
  return __builtin_cpu_is("intel") != 0;
}
#else
bool has_avx2() { return false; }
bool has_avx512() { return false; }
bool has_avx512bf16() { return false; }
bool has_amx() { return false; }
bool has_slow_bf16_pairs() { return false; }
#endif

}  // namespace

std::string_view name(IsaTier tier) {
  switch (tier) {
    case IsaTier::kScalar:
      return "scalar";
    case IsaTier::kAvx2:
      return "avx2";
    case IsaTier::kAvx512OnAvx2:
      return "avx512-on-avx2";
    case IsaTier::kAvx512:
      return "avx512";
    case IsaTier::kAvx512Bf16:
      return "avx512bf16";
    case IsaTier::kAmxOnAvx512:
      return "amx-on-avx512";
    case IsaTier::kAmx:
      return "amx";
  }
  return "unknown";
}

std::optional<IsaTier> isa_tier_from_name(std::string_view wanted) {
  for (const IsaTier tier : all_isa_tiers()) {
    if (name(tier) == wanted) return tier;
  }
  return std::nullopt;
}

bool can_run(IsaTier tier) {
  switch (tier) {
    case IsaTier::kScalar:
      return true;
    case IsaTier::kAvx2:
    case IsaTier::kAvx512OnAvx2:
      return has_avx2();
    case IsaTier::kAvx512:
    case IsaTier::kAmxOnAvx512:
      return has_avx512();
    case IsaTier::kAvx512Bf16:
      return has_avx512bf16();
    case IsaTier::kAmx:
      return has_amx();
  }
  return false;
}

const std::vector<IsaTier>& all_isa_tiers() {
  static const std::vector<IsaTier> tiers = {
      IsaTier::kScalar,     IsaTier::kAvx2,        IsaTier::kAvx512OnAvx2, IsaTier::kAvx512,
      IsaTier::kAvx512Bf16, IsaTier::kAmxOnAvx512, IsaTier::kAmx};
  return tiers;
}

std::vector<IsaTier> runnable_isa_tiers() {
  std::vector<IsaTier> tiers;
  for (const IsaTier tier : all_isa_tiers()) {
    if (can_run(tier)) tiers.push_back(tier);
  }
  return tiers;
}

IsaTier best_isa_tier() {
  for (const IsaTier tier :
       {IsaTier::kAmx, IsaTier::kAvx512Bf16, IsaTier::kAvx512, IsaTier::kAvx2}) {
    if (tier == IsaTier::kAvx512Bf16 && has_slow_bf16_pairs()) continue;
    if (can_run(tier)) return tier;
  }
  return IsaTier::kScalar;
}

CpuInfo cpu_info() {
  CpuInfo info;
  std::ifstream file("/proc/cpuinfo");
  std::set<std::pair<std::string, std::string>> cores;  // (package, core)
  std::string package;
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string value = colon + 2 <= line.size() ? line.substr(colon + 2) : "";
    if (line.starts_with("model name")) info.model = value;
    if (line.starts_with("physical id")) package = value;
    if (line.starts_with("core id")) cores.emplace(package, value);
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  info.logical_cores = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  info.physical_cores = cores.empty() ? info.logical_cores : static_cast<int>(cores.size());
#if defined(__x86_64__)
  const auto add = [&](bool present, const char* feature) {
    if (present) info.features += (info.features.empty() ? "" : " ") + std::string(feature);
  };
  add(__builtin_cpu_supports("avx2"), "avx2");
  add(__builtin_cpu_supports("fma"), "fma");
  add(__builtin_cpu_supports("avx512f"), "avx512f");
  add(__builtin_cpu_supports("avx512vnni"), "avx512vnni");
  add(__builtin_cpu_supports("avx512bf16"), "avx512bf16");
  add(has_amx(), "amx");
#endif
  info.l1d_bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE);
  info.l2_bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  info.l3_bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
  return info;
}

}  // namespace ashlar
