#include "ashlar/schedule/schedule.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <utility>

namespace ashlar::schedule {

bool Schedule::has_messages() const {
  return std::ranges::any_of(ranks, [](const InstructionList& list) {
    return std::ranges::any_of(
        list, [](const Instruction& i) { return is_send(i.kind) || is_recv(i.kind); });
  });
}

Schedule empty_schedule(std::string name, StageMap stages, int microbatches) {
  ASHLAR_CHECK(microbatches > 0, "schedule {}: {} microbatches, at least 1 is needed", name,
               microbatches);
  ASHLAR_CHECK(microbatches <= kMostMicrobatches, "schedule {}: {} microbatches, at most {} fit",
               name, microbatches, kMostMicrobatches);
  Schedule schedule{std::move(name), microbatches, std::move(stages), {}};
  schedule.ranks.resize(static_cast<size_t>(schedule.stages.ranks()));
  return schedule;
}

}  // namespace ashlar::schedule
