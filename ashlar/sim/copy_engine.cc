#include "ashlar/sim/copy_engine.h"

#include "ashlar/base/error.h"

#include <utility>

namespace ashlar::sim {

CopyEngine::CopyEngine(Simulator& simulator, LinkSpec spec, int queues) : link_(simulator, spec) {
  ASHLAR_CHECK(queues > 0, "copy engine: {} queues, at least 1 is needed", queues);
  queues_.resize(static_cast<size_t>(queues));
}

void CopyEngine::copy(int queue, int64_t bytes, Simulator::Action done) {
  ASHLAR_CHECK(queue >= 0 && queue < queues(), "copy engine: queue {} of {}", queue, queues());
  ASHLAR_CHECK(bytes >= 0, "copy engine: a copy of {} bytes", bytes);
  const auto index = static_cast<size_t>(queue);
  queues_[index].push_back({bytes, std::move(done)});
  if (queues_[index].size() == 1) start(index);
}

void CopyEngine::start(size_t queue) {
  link_.transfer(queues_[queue].front().bytes, [this, queue] {
    const Simulator::Action done = std::move(queues_[queue].front().done);
    queues_[queue].pop_front();
    if (!queues_[queue].empty()) start(queue);
    done();
  });
}

}  // namespace ashlar::sim
