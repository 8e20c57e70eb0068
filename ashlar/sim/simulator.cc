#include "ashlar/sim/simulator.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <utility>

namespace ashlar::sim {

void Simulator::at(double time, Action action) {
  ASHLAR_CHECK(time >= now_, "simulator: an action at {} s, but it is {} s already", time, now_);
  heap_.push_back({time, asked_++, std::move(action)});
  std::push_heap(heap_.begin(), heap_.end(), later);
}

void Simulator::run_next() {
  std::pop_heap(heap_.begin(), heap_.end(), later);
  Event event = std::move(heap_.back());
  heap_.pop_back();
  now_ = event.time;
  ++actions_run_;
  event.action();
}

void Simulator::run() {
  while (!heap_.empty()) run_next();
}

void Simulator::run_until(double time) {
  ASHLAR_CHECK(time >= now_, "simulator: run until {} s, but it is {} s already", time, now_);
  while (!heap_.empty() && heap_.front().time <= time) run_next();
  now_ = time;
}

}  // namespace ashlar::sim
