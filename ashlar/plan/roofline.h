// How near each kind of op comes to what the machine allows (the roofline of Williams et al. 2009):
// the time it took, beside the larger of its multiplications at the machine's peak and of the bytes
// that it must fetch at the machine's bandwidth.
#pragma once

#include "ashlar/runtime/profiler.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ashlar::plan {

struct RooflineRow {
  std::string name;  // "mlp.up": an op of every layer, or one outside of them
  std::string kind;  // "linear"
  int64_t count = 0;
  double seconds = 0;
  double flops = 0, bytes = 0;  // bytes: 0 where nothing comes from memory
  double limit = 0;             // seconds; 0: what it reads was just computed, in the caches
};

// Rates in units a second; `multiplications` of an op, by the format of its weights.
struct RooflineRates {
  std::function<double(const graph::Node&)> multiplications;
  double bytes = 0;
};

// The steps of one phase, each the records of a profiler: the fastest time of every op counts. Rows
// in falling order of time. Matrices and key-value caches come from memory; what ops hand to one
// another does not.
std::vector<RooflineRow> roofline(const graph::Graph& graph,
                                  const std::vector<std::vector<runtime::Profiler::Record>>& steps,
                                  const RooflineRates& rates);

std::string roofline_text(const std::vector<RooflineRow>& rows);

struct RooflinePhase {
  std::string title;
  std::vector<RooflineRow> rows;
};
// A whole SVG document: a bar for each row, its limit filled in.
std::string roofline_svg(const std::vector<RooflinePhase>& phases);

}  // namespace ashlar::plan
