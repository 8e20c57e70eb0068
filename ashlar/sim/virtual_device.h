// A stand-in for an accelerator on a machine that has none: memory with a hard cap, and a copy
// engine each way to a host whose memory has no end.
#pragma once

#include "ashlar/sim/copy_engine.h"
#include "ashlar/sim/simulator.h"
#include "ashlar/sim/tagged_arena.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace ashlar::sim {

struct VirtualDeviceSpec {
  std::string name = "device";
  int64_t memory = TaggedArena::kNoCap;  // bytes
  LinkSpec host;                         // each way
  int copy_queues = 1;                   // each way
};

class VirtualDevice {
 public:
  using Allocation = TaggedArena::Allocation;

  VirtualDevice(Simulator& simulator, const VirtualDeviceSpec& spec);

  TaggedArena& memory() { return memory_; }
  const TaggedArena& memory() const { return memory_; }
  CopyEngine& to_device() { return in_; }
  CopyEngine& to_host() { return out_; }

  // Takes the memory at once, and hands it over when the bytes have come from the host.
  void load(std::string_view tag, int64_t bytes, std::function<void(Allocation)> loaded,
            int queue = 0);
  // Gives the memory back when the bytes have reached the host.
  void evict(Allocation allocation, Simulator::Action evicted, int queue = 0);

 private:
  TaggedArena memory_;
  CopyEngine in_, out_;
};

}  // namespace ashlar::sim
