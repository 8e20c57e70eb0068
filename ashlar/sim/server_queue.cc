#include "ashlar/sim/server_queue.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <utility>

namespace ashlar::sim {

void ServerQueue::submit(double service_time, Simulator::Action done) {
  ASHLAR_CHECK(service_time >= 0, "server queue: a service time of {} s", service_time);
  const double now = simulator_.now(), start = std::max(now, free_at_);
  free_at_ = start + service_time;
  ++jobs_;
  busy_ += service_time;
  waited_ += start - now;
  longest_wait_ = std::max(longest_wait_, start - now);
  simulator_.at(free_at_, std::move(done));
}

double ServerQueue::mean_wait() const {
  return jobs_ == 0 ? 0 : waited_ / static_cast<double>(jobs_);
}

}  // namespace ashlar::sim
