#include "ashlar/sim/virtual_device.h"

#include <memory>
#include <utility>

namespace ashlar::sim {
namespace {

// A std::function must be copyable, an allocation is not.
std::shared_ptr<TaggedArena::Allocation> shared(TaggedArena::Allocation allocation) {
  return std::make_shared<TaggedArena::Allocation>(std::move(allocation));
}

}  // namespace

VirtualDevice::VirtualDevice(Simulator& simulator, const VirtualDeviceSpec& spec)
    : memory_(spec.name, spec.memory),
      in_(simulator, spec.host, spec.copy_queues),
      out_(simulator, spec.host, spec.copy_queues) {}

void VirtualDevice::load(std::string_view tag, int64_t bytes,
                         std::function<void(Allocation)> loaded, int queue) {
  in_.copy(queue, bytes, [held = shared(memory_.allocate(tag, bytes)), loaded = std::move(loaded)] {
    loaded(std::move(*held));
  });
}

void VirtualDevice::evict(Allocation allocation, Simulator::Action evicted, int queue) {
  const int64_t bytes = allocation.bytes();
  out_.copy(queue, bytes, [held = shared(std::move(allocation)), evicted = std::move(evicted)] {
    held->release();
    evicted();
  });
}

}  // namespace ashlar::sim
