// Discrete-event simulation: actions on simulated time, in seconds. Actions of one instant run in
// the order in which they were asked for, so a simulation is the same on every machine. It is a
// Clock: what takes its time as an argument runs here as it does for real.
#pragma once

#include "ashlar/base/clock.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace ashlar::sim {

class Simulator : public Clock {
 public:
  using Action = std::function<void()>;

  double now() const override { return now_; }

  // Throws for a time that is past or not a number. Actions may ask for more.
  void at(double time, Action action);
  void after(double delay, Action action) { at(now_ + delay, std::move(action)); }

  void run();                   // until nothing is left
  void run_until(double time);  // what is due up to and at `time`, which is then now
  int64_t actions_run() const { return actions_run_; }

 private:
  struct Event {
    double time;
    int64_t order;
    Action action;
  };
  static bool later(const Event& a, const Event& b) {
    return a.time != b.time ? a.time > b.time : a.order > b.order;
  }
  void run_next();

  std::vector<Event> heap_;  // by later(): the next event in front
  double now_ = 0;
  int64_t asked_ = 0;
  int64_t actions_run_ = 0;
};

}  // namespace ashlar::sim
