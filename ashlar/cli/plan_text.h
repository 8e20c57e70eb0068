// A run's plan as people read it, and as JSON.
#pragma once

#include "ashlar/train/run_plan.h"

#include <string>
#include <string_view>
#include <vector>

namespace ashlar::cli {

std::string plan_text(const train::RunPlan& plan, const plan::MachineRates& rates);
std::string plan_json(const train::RunPlan& plan, const plan::MachineRates& rates);

// Those whose name one of the patterns matches, pattern after pattern; * stands for anything.
std::vector<train::PlannedValue> matching(const std::vector<train::PlannedValue>& values,
                                          const std::string& patterns);
std::string placements_text(const train::RunPlan& plan,
                            const std::vector<train::PlannedValue>& values);
std::string placements_json(const train::RunPlan& plan,
                            const std::vector<train::PlannedValue>& values);

}  // namespace ashlar::cli
