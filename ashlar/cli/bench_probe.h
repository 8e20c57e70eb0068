// The machine's ceilings beside every measured speed: a figure above what the machine can do is a
// fault of the measurement, and an error.
#pragma once

#include "ashlar/cli/verb.h"
#include "ashlar/kernels/probe.h"
#include "ashlar/tensor/dtype.h"

#include <functional>
#include <string>

namespace ashlar::cli {

// Probes with that many threads, best of the full effort (about four seconds).
kernels::ProbeRates probe_rates(const MachineFlags& machine, int threads);

// The better of each rate: of probes before and after the work, because on a shared machine the
// load of others may end or begin in between.
kernels::ProbeRates better(const kernels::ProbeRates& a, const kernels::ProbeRates& b);

// The best of `first` and of one probe behind the work; of more, kMostProbes at most, while no
// probe is above what was measured: other programs slow a probe as they slow the work.
constexpr int kMostProbes = 6;
using RatesFit = std::function<bool(const kernels::ProbeRates&)>;
kernels::ProbeRates probe_behind(const kernels::ProbeRates& first, const RatesFit& fit,
                                 const std::function<kernels::ProbeRates()>& probe);

// The rates as a JSON object's text: threads, read_bytes_per_s, f32_flops, ...
std::string probe_json(const kernels::ProbeRates& rates);
// The same with tier, processor, version and revision: what a result has to say of its machine.
std::string machine_json(const MachineFlags& machine, const kernels::ProbeRates& rates);

// Operations a second that the tier can do in the dtype.
double peak_operations(const kernels::ProbeRates& rates, DType dtype);

// Throws Error when `found` exceeds `ceiling`.
void check_below(const std::string& what, double found, double ceiling);

}  // namespace ashlar::cli
