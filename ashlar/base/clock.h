// Time as an argument: whatever waits, schedules or measures takes a Clock, so policies and
// timeouts run the same in the simulator. Seconds since an arbitrary start, never going back.
#pragma once

#include <chrono>

namespace ashlar {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual double now() const = 0;
};

class SteadyClock : public Clock {
 public:
  double now() const override {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
};

// Time moved by hand: tests and the simulator.
class ManualClock : public Clock {
 public:
  double now() const override { return now_; }
  void advance(double seconds) { now_ += seconds; }
  void set(double seconds) { now_ = seconds; }

 private:
  double now_ = 0;
};

}  // namespace ashlar
