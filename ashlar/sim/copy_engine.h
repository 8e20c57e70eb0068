// Copies between a device and its host. Each queue holds one copy at a time, which takes
// bytes / bandwidth + latency on an idle link; the next of that queue starts when it has arrived.
// Queues share the link: their latencies overlap, their bytes do not.
#pragma once

#include "ashlar/sim/link.h"
#include "ashlar/sim/simulator.h"

#include <cstdint>
#include <deque>
#include <vector>

namespace ashlar::sim {

class CopyEngine {
 public:
  CopyEngine(Simulator& simulator, LinkSpec spec, int queues = 1);

  void copy(int queue, int64_t bytes, Simulator::Action done);

  int queues() const { return static_cast<int>(queues_.size()); }
  int64_t bytes() const { return link_.bytes(); }  // started so far

 private:
  struct Copy {
    int64_t bytes;
    Simulator::Action done;
  };
  void start(size_t queue);

  Link link_;
  std::vector<std::deque<Copy>> queues_;  // the front one is under way
};

}  // namespace ashlar::sim
