#include "ashlar/cli/bench_probe.h"

#include "ashlar/base/clock.h"
#include "ashlar/base/cpu.h"
#include "ashlar/base/error.h"
#include "ashlar/base/human.h"
#include "ashlar/base/version.h"
#include "ashlar/cli/machine_facts.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace ashlar::cli {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const kernels::ProbeRates& rates) {
  Json json{{"threads", rates.threads},
            {"read_bytes_per_s", rates.read_bytes},
            {"f32_flops", rates.f32_operations}};
  if (rates.bf16_operations) json["bf16_flops"] = *rates.bf16_operations;
  if (rates.int8_operations) json["int8_ops"] = *rates.int8_operations;
  if (rates.int4_operations) json["int4_ops"] = *rates.int4_operations;
  return json;
}

}  // namespace

kernels::ProbeRates probe_rates(const MachineFlags& machine, int threads) {
  const SteadyClock clock;
  return kernels::probe_machine(machine.tier, {threads}, clock).rates.front();
}

kernels::ProbeRates better(const kernels::ProbeRates& a, const kernels::ProbeRates& b) {
  kernels::ProbeRates best = a;
  best.read_bytes = std::max(a.read_bytes, b.read_bytes);
  best.f32_operations = std::max(a.f32_operations, b.f32_operations);
  best.bf16_operations = std::max(a.bf16_operations, b.bf16_operations);  // empty is the least
  best.int8_operations = std::max(a.int8_operations, b.int8_operations);
  best.int4_operations = std::max(a.int4_operations, b.int4_operations);
  return best;
}

kernels::ProbeRates probe_behind(const kernels::ProbeRates& first, const RatesFit& fit,
                                 const std::function<kernels::ProbeRates()>& probe) {
  kernels::ProbeRates best = better(first, probe());
  for (int probes = 1; probes < kMostProbes && !fit(best); ++probes) best = better(best, probe());
  return best;
}

std::string probe_json(const kernels::ProbeRates& rates) { return to_json(rates).dump(); }

std::string machine_json(const MachineFlags& machine, const kernels::ProbeRates& rates) {
  const MachineFacts facts = machine_facts();
  return Json{{"version", version()},   {"revision", revision()}, {"cpu", facts.cpu},
              {"cores", facts.cores},   {"system", facts.kernel}, {"isa", name(machine.tier)},
              {"probe", to_json(rates)}}
      .dump();
}

double peak_operations(const kernels::ProbeRates& rates, DType dtype) {
  const double of_bytes = rates.int8_operations.value_or(rates.f32_operations);
  if (dtype == DType::kQ4_0 || dtype == DType::kQ4K)
    return rates.int4_operations.value_or(of_bytes);
  if (is_block(dtype)) return of_bytes;
  return dtype == DType::kBF16 ? rates.bf16_operations.value_or(rates.f32_operations)
                               : rates.f32_operations;
}

void check_below(const std::string& what, double found, double ceiling) {
  ASHLAR_CHECK(found <= ceiling,
               "bench: {} of {}/s is above the {}/s this machine was measured at: the measurement "
               "is wrong, or other programs ran meanwhile; run it again on an idle machine",
               what, human_count(found), human_count(ceiling));
}

}  // namespace ashlar::cli
