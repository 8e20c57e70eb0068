#include "ashlar/cli/verb.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/env.h"
#include "ashlar/base/error.h"
#include "ashlar/base/human.h"
#include "ashlar/base/log.h"
#include "ashlar/cli/flag_checks.h"

#include <fmt/ranges.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

namespace ashlar::cli {
namespace {

constexpr int kMostThreads = 1024;

std::string runnable_names() {
  std::vector<std::string_view> names;
  for (const IsaTier tier : runnable_isa_tiers()) names.push_back(name(tier));
  return fmt::format("{}", fmt::join(names, ", "));
}

IsaTier choose_tier(const std::string& wanted) {
  if (wanted.empty()) return best_isa_tier();
  const std::optional<IsaTier> tier = isa_tier_from_name(wanted);
  if (!tier)
    fail_usage("--isa {}: no such tier; this machine can run {}", wanted, runnable_names());
  if (!can_run(*tier)) {
    fail_usage("--isa {}: this processor cannot run it; it can run {}", wanted, runnable_names());
  }
  return *tier;
}

int threads_from_environment() {
  const std::optional<std::string> text = env("ASHLAR_THREADS");
  if (!text) return 0;
  const std::optional<int64_t> threads = parse_count(*text);
  if (!threads || *threads < 1 || *threads > kMostThreads) {
    fail_usage("ASHLAR_THREADS: '{}' is not a number of threads from 1 to {}", *text, kMostThreads);
  }
  return static_cast<int>(*threads);
}

}  // namespace

void MachineFlags::add_to(CLI::App& app) {
  app.add_option("--isa", isa, "Kernels to use: scalar, avx2, avx512, ... (default: the fastest)")
      ->type_name("TIER")
      ->group("Machine");
  app.add_option("--threads", threads, "Threads to compute with (default: all cores)")
      ->type_name("N")
      ->check(between(1, kMostThreads))
      ->group("Machine");
  app.add_flag("--pin", pin, "Bind each thread to a core of its own")->group("Machine");
  app.add_option("--log-level", log_level, "debug, info, warn, error or off")
      ->type_name("LEVEL")
      ->group("Machine");
}

void MachineFlags::resolve() {
  log::init(log_level.empty() ? env("ASHLAR_LOG").value_or("info") : log_level);
  tier = choose_tier(isa.empty() ? env("ASHLAR_ISA").value_or("") : isa);
  if (threads == 0) threads = threads_from_environment();
  if (threads == 0) threads = cpu_info().logical_cores;
}

void add_json_flag(CLI::App& app, bool& json) {
  app.add_flag("--json", json, "Print one JSON object on stdout, and nothing else there");
}

void print_result(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
                       std::fputc('\n', stdout) != EOF && std::fflush(stdout) == 0;
  ASHLAR_CHECK(written, "stdout: {}", std::strerror(errno));
}

}  // namespace ashlar::cli
