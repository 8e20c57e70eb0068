// A one-way link with a latency and a bandwidth. Transfers go over the wire one after another, each
// for bytes / bandwidth, and arrive a latency later; the next does not wait for that arrival.
#pragma once

#include "ashlar/sim/server_queue.h"
#include "ashlar/sim/simulator.h"

#include <cstdint>
#include <limits>

namespace ashlar::sim {

struct LinkSpec {
  double latency = 0;                                          // seconds
  double bandwidth = std::numeric_limits<double>::infinity();  // bytes per second
  void validate() const;
  double wire_time(int64_t bytes) const { return static_cast<double>(bytes) / bandwidth; }
  double transfer_time(int64_t bytes) const { return wire_time(bytes) + latency; }  // an idle link
};

class Link {
 public:
  Link(Simulator& simulator, LinkSpec spec);

  // `arrived` runs when the last byte is there.
  void transfer(int64_t bytes, Simulator::Action arrived);

  const LinkSpec& spec() const { return spec_; }
  int64_t bytes() const { return bytes_; }  // handed over so far
  const ServerQueue& wire() const { return wire_; }

 private:
  Simulator& simulator_;
  LinkSpec spec_;
  ServerQueue wire_;
  int64_t bytes_ = 0;
};

}  // namespace ashlar::sim
