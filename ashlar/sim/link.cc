#include "ashlar/sim/link.h"

#include "ashlar/base/error.h"

#include <cmath>
#include <utility>

namespace ashlar::sim {

void LinkSpec::validate() const {
  ASHLAR_CHECK(latency >= 0 && std::isfinite(latency), "link: a latency of {} s", latency);
  ASHLAR_CHECK(bandwidth > 0, "link: a bandwidth of {} bytes/s", bandwidth);
}

Link::Link(Simulator& simulator, LinkSpec spec)
    : simulator_(simulator), spec_(spec), wire_(simulator) {
  spec.validate();
}

void Link::transfer(int64_t bytes, Simulator::Action arrived) {
  ASHLAR_CHECK(bytes >= 0, "link: a transfer of {} bytes", bytes);
  bytes_ += bytes;
  wire_.submit(spec_.wire_time(bytes), [this, arrived = std::move(arrived)]() mutable {
    simulator_.after(spec_.latency, std::move(arrived));
  });
}

}  // namespace ashlar::sim
