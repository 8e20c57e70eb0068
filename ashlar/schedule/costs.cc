#include "ashlar/schedule/costs.h"

#include "ashlar/base/error.h"

#include <cmath>

namespace ashlar::schedule {

Costs uniform_costs(const Schedule& schedule, const StageCost& cost) {
  Costs costs;
  costs.stages.assign(static_cast<size_t>(schedule.stages.stages()), cost);
  return costs;
}

void Costs::check(const Schedule& schedule) const {
  ASHLAR_CHECK(static_cast<int>(stages.size()) == schedule.stages.stages(),
               "schedule {}: costs of {} stages are given, there are {}", schedule.name,
               stages.size(), schedule.stages.stages());
  const auto check_time = [&](double time, const char* of) {
    ASHLAR_CHECK(time >= 0 && std::isfinite(time), "schedule {}: {} takes {} s", schedule.name, of,
                 time);
  };
  for (const StageCost& stage : stages) {
    check_time(stage.forward, "a forward");
    check_time(stage.backward, "an input gradient");
    check_time(stage.weight, "a weight gradient");
  }
  check_time(gather, "a gather");
  check_time(reduce, "a reduce");
  check_time(step, "a step");
  ASHLAR_CHECK(processors > 0, "schedule {}: {} processors", schedule.name, processors);
}

}  // namespace ashlar::schedule
