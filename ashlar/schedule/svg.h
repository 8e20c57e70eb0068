// A played schedule as a drawing: a row for each rank, a box for each instruction with its
// microbatch, messages that take time as lines, a time axis and a legend.
#pragma once

#include "ashlar/schedule/play.h"
#include "ashlar/schedule/schedule.h"

#include <string>

namespace ashlar::schedule {

struct DrawOptions {
  std::string title;        // empty: the schedule's name
  std::string unit = "s";   // on the time axis
  double unit_seconds = 1;  // 0.001 for ms
};

std::string to_svg(const Schedule& schedule, const Timeline& timeline,
                   const DrawOptions& options = {});

}  // namespace ashlar::schedule
