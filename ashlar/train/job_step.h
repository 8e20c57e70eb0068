// What all ranks say of one step: how fast each was, how long each waited for others and along
// which axis (communication that nothing hid: what goes on while a rank computes does not count),
// what was sent along it, what its save costs, whether one was asked to stop. One exchange a step;
// every rank gets the same answer.
#pragma once

#include "ashlar/comm/counters.h"
#include "ashlar/train/metrics_log.h"
#include "ashlar/train/ranks.h"

#include <map>
#include <string>

namespace ashlar::train {

class JobStep {
 public:
  explicit JobStep(const Ranks& ranks) : ranks_(ranks) {}

  struct Mine {
    double flops = 0, peak_flops = 0;  // done, and possible in a second
    double seconds = 0;
    bool stop = false;
    double stall_s = 0;    // of the save behind the step before, if there was one
    bool writing = false;  // that save is still being written
  };
  struct Answer {
    bool stop = false;     // some rank was asked to
    double stall_s = 0;    // the longest
    bool writing = false;  // some rank is
  };
  // What ranks wait for and send from here on is the step's: not a validation or a save before it.
  void begin() { before_ = by_axis(); }
  // Fills the metrics' rates, and for several ranks comm_share, comm_bytes and slowest_rank.
  Answer finish(const Mine& mine, StepMetrics& metrics, int64_t tokens);

 private:
  std::map<std::string, comm::Traffic> by_axis() const;  // of this rank, since the job began

  const Ranks& ranks_;
  std::map<std::string, comm::Traffic> before_;
};

}  // namespace ashlar::train
