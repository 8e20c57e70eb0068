#include "ashlar/base/clock.h"
#include "ashlar/base/cpu.h"
#include "ashlar/base/version.h"
#include "ashlar/cli/bench_probe.h"
#include "ashlar/cli/bench_verbs.h"
#include "ashlar/cli/machine_facts.h"
#include "ashlar/cli/verbs.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace ashlar::cli {
namespace {

struct BenchMachine {
  static constexpr const char* kName = "machine";
  static constexpr const char* kHelp = "Measure memory bandwidth and multiply-add peak";
  static constexpr const char* kGroup = kMachineGroup;
  MachineFlags machine;
  bool json = false;

  void add_flags(CLI::App& app) {
    add_json_flag(app, json);
    machine.add_to(app);
  }

  int run() {
    machine.resolve();
    std::vector<int> threads = {1};
    if (machine.threads >= 2) threads.push_back(2);
    if (machine.threads > 2) threads.push_back(machine.threads);
    const SteadyClock clock;
    const kernels::MachineProbe probe = kernels::probe_machine(machine.tier, threads, clock);
    print_result(json ? as_json(probe) : as_text(probe));
    return 0;
  }

  std::string as_json(const kernels::MachineProbe& probe) const {
    const MachineFacts facts = machine_facts();
    nlohmann::ordered_json result{{"version", version()},
                                  {"revision", revision()},
                                  {"cpu", facts.cpu},
                                  {"cores", facts.cores},
                                  {"system", facts.kernel},
                                  {"isa", name(probe.tier)},
                                  {"buffer_bytes", probe.buffer_bytes},
                                  {"rates", nlohmann::ordered_json::array()}};
    for (const kernels::ProbeRates& rates : probe.rates) {
      result["rates"].push_back(nlohmann::ordered_json::parse(probe_json(rates)));
    }
    return result.dump();
  }

  std::string as_text(const kernels::MachineProbe& probe) const {
    std::string text = fmt::format("{}, {}\n{:>8}{:>14}{:>16}{:>16}{:>14}{:>14}", cpu_info().model,
                                   name(probe.tier), "threads", "read GB/s", "f32 GFLOP/s",
                                   "bf16 GFLOP/s", "int8 GOP/s", "int4 GOP/s");
    const auto giga = [](const std::optional<double>& rate) {
      return rate ? fmt::format("{:.1f}", *rate / 1e9) : std::string("-");
    };
    for (const kernels::ProbeRates& rates : probe.rates) {
      text += fmt::format("\n{:>8}{:>14}{:>16}{:>16}{:>14}{:>14}", rates.threads,
                          giga(rates.read_bytes), giga(rates.f32_operations),
                          giga(rates.bf16_operations), giga(rates.int8_operations),
                          giga(rates.int4_operations));
    }
    return text;
  }
};

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  CLI::App* const bench = app.add_subcommand("bench", "Measure this machine, training, inference");
  bench->group(kMachineGroup);
  bench->require_subcommand(1);
  add_verb<BenchMachine>(*bench, action);
  add_bench_train(*bench, action);
  add_bench_infer(*bench, action);
  add_bench_ops(*bench, action);
}

}  // namespace ashlar::cli
