// A processor of some cores that jobs share: each runs at full speed while there is a core for
// everyone, else all get alike (processor sharing). With a fraction of a core, so does one.
#pragma once

#include "ashlar/sim/simulator.h"

#include <cstdint>
#include <limits>
#include <vector>

namespace ashlar::sim {

class Processor {
 public:
  static constexpr double kEnough = std::numeric_limits<double>::infinity();

  // Throws unless cores > 0.
  Processor(Simulator& simulator, double cores);

  // `done` runs when the job has had `seconds` of a core. Throws for a negative time.
  void submit(double seconds, Simulator::Action done);

  double cores() const { return cores_; }

 private:
  struct Job {
    double left;    // seconds at full speed
    int64_t order;  // in which jobs came
    Simulator::Action done;
  };
  double speed() const;
  void catch_up();     // what has been done since
  void expect_next();  // the end of the job that has least left
  void end_finished();

  Simulator& simulator_;
  double cores_;
  std::vector<Job> jobs_;
  double since_ = 0;      // up to when `left` is right
  int64_t expected_ = 0;  // which of the ends that were expected still holds
  int64_t submitted_ = 0;
};

}  // namespace ashlar::sim
