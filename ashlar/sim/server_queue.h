// One server that takes jobs in the order in which they come, each for a service time known then:
// a wire, a copy engine, a processor. Counts what queueing theory speaks of.
#pragma once

#include "ashlar/sim/simulator.h"

#include <cstdint>

namespace ashlar::sim {

class ServerQueue {
 public:
  explicit ServerQueue(Simulator& simulator) : simulator_(simulator) {}

  // `done` runs when the job is served. Throws for a negative time.
  void submit(double service_time, Simulator::Action done);

  int64_t jobs() const { return jobs_; }      // submitted
  double busy_time() const { return busy_; }  // the sum of their service times
  double mean_wait() const;                   // from submit() to the start of service
  double longest_wait() const { return longest_wait_; }
  double free_at() const { return free_at_; }  // when all that was submitted is served

 private:
  Simulator& simulator_;
  double free_at_ = 0;
  int64_t jobs_ = 0;
  double busy_ = 0, waited_ = 0, longest_wait_ = 0;
};

}  // namespace ashlar::sim
