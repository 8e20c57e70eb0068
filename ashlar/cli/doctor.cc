#include "ashlar/base/cpu.h"
#include "ashlar/base/human.h"
#include "ashlar/base/version.h"
#include "ashlar/cli/machine_facts.h"
#include "ashlar/cli/verbs.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <iterator>
#include <string>
#include <vector>

namespace ashlar::cli {
namespace {

constexpr int64_t kLittleMemory = int64_t{2} << 30;
constexpr int64_t kLittleDisk = int64_t{2} << 30;

struct Lack {
  std::string what, fix;
};

std::vector<Lack> lacks_of(const MachineFacts& facts) {
  std::vector<Lack> lacks;
  if (!can_run(IsaTier::kAvx2)) {
    lacks.push_back({"the processor has no AVX2 with FMA: kernels run one number at a time",
                     "use a processor of 2013 or later, or let the virtual machine see its flags"});
  }
  if (facts.mpirun.empty()) {
    lacks.push_back({"no mpirun: no job can span several processes or machines",
                     "apt-get install openmpi-bin"});
  }
  if (facts.transparent_huge_pages == "never") {
    lacks.push_back({"transparent huge pages are off: large models page slower",
                     "as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"});
  }
  if (facts.memory_available_bytes < kLittleMemory) {
    lacks.push_back({fmt::format("only {} of memory are free",
                                 human_bytes(double(facts.memory_available_bytes))),
                     "stop other programs, or use a smaller model, batch or context"});
  }
  if (facts.disk_free_bytes < kLittleDisk) {
    lacks.push_back(
        {fmt::format("only {} are free on this disk", human_bytes(double(facts.disk_free_bytes))),
         "free some space, or put run.dir on another disk"});
  }
  return lacks;
}

std::string report(const MachineFacts& facts, const std::vector<Lack>& lacks) {
  std::string text;
  const auto line = [&](std::string_view label, const std::string& value) {
    fmt::format_to(std::back_inserter(text), "{:<14}{}\n", label, value);
  };
  const CpuInfo cpu = cpu_info();
  line("ashlar", fmt::format("{}{}{}", version(), revision().empty() ? "" : " ", revision()));
  line("system", facts.kernel);
  line("processor", fmt::format("{} ({})", facts.cpu, facts.features));
  line("cores", fmt::format("{} usable, {} in the machine", facts.cores, cpu.physical_cores));
  line("caches", fmt::format("L1d {}, L2 {}, L3 {}", human_bytes(double(cpu.l1d_bytes)),
                             human_bytes(double(cpu.l2_bytes)), human_bytes(double(cpu.l3_bytes))));
  for (const IsaTier tier : all_isa_tiers()) {
    line(tier == all_isa_tiers().front() ? "kernels" : "",
         fmt::format("{:<15}{}", name(tier),
                     !can_run(tier)            ? "cannot run here"
                     : tier == best_isa_tier() ? "runs; used by default"
                                               : "runs"));
  }
  line("memory", fmt::format("{} free of {}{}", human_bytes(double(facts.memory_available_bytes)),
                             human_bytes(double(facts.memory_bytes)),
                             facts.memory_limit_bytes == 0
                                 ? ""
                                 : fmt::format(", limited to {} for this process",
                                               human_bytes(double(facts.memory_limit_bytes)))));
  line(
      "huge pages",
      fmt::format("transparent: {}; reserved: {} of 2 MiB",
                  facts.transparent_huge_pages.empty() ? "not known" : facts.transparent_huge_pages,
                  facts.reserved_huge_pages));
  line("disk", fmt::format("{} free here", human_bytes(double(facts.disk_free_bytes))));
  line("MPI", facts.mpirun.empty() ? "not found" : facts.mpirun);
  text += lacks.empty() ? "Nothing is missing." : "Missing:";
  for (const Lack& lack : lacks) {
    fmt::format_to(std::back_inserter(text), "\n- {}\n  fix: {}", lack.what, lack.fix);
  }
  return text;
}

std::string as_json(const MachineFacts& facts, const std::vector<Lack>& lacks) {
  nlohmann::ordered_json json{
      {"version", version()},
      {"revision", revision()},
      {"system", facts.kernel},
      {"cpu", facts.cpu},
      {"features", facts.features},
      {"cores", facts.cores},
      {"isa", facts.best_tier},
      {"tiers", nlohmann::ordered_json::object()},
      {"memory_bytes", facts.memory_bytes},
      {"memory_available_bytes", facts.memory_available_bytes},
      {"memory_limit_bytes", facts.memory_limit_bytes},
      {"transparent_huge_pages", facts.transparent_huge_pages},
      {"reserved_huge_pages", facts.reserved_huge_pages},
      {"disk_free_bytes", facts.disk_free_bytes},
      {"mpirun", facts.mpirun},
      {"missing", nlohmann::ordered_json::array()},
  };
  for (const IsaTier tier : all_isa_tiers()) json["tiers"][std::string(name(tier))] = can_run(tier);
  for (const Lack& lack : lacks)
    json["missing"].push_back({{"what", lack.what}, {"fix", lack.fix}});
  return json.dump();
}

struct Doctor {
  static constexpr const char* kName = "doctor";
  static constexpr const char* kHelp = "Say what this machine has and what is missing";
  static constexpr const char* kGroup = kMachineGroup;
  bool json = false;

  void add_flags(CLI::App& app) { add_json_flag(app, json); }

  int run() const {
    const MachineFacts facts = machine_facts();
    const std::vector<Lack> lacks = lacks_of(facts);
    print_result(json ? as_json(facts, lacks) : report(facts, lacks));
    return 0;
  }
};

}  // namespace

void add_doctor(CLI::App& app, Action& action) { add_verb<Doctor>(app, action); }

}  // namespace ashlar::cli
