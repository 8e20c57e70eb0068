// Who goes first: the part of scheduling that differs between policies. The order decides who is
// admitted next and, read backwards, who gives up his blocks when they run out.
#pragma once

#include "ashlar/serve/policy/cache_space.h"

#include <cstdint>

namespace ashlar::serve {

// A sequence as a scheduler knows it.
struct ScheduledSequence {
  SequenceId id = 0;
  double arrived = 0;
  int64_t target = 0;       // tokens there are: all must be computed before the next can be drawn
  int64_t computed = 0;     // of them, keys and values in the cache
  int64_t scored = 0;       // logits are wanted from this token on
  int64_t most_tokens = 0;  // it never grows beyond
  bool started = false;     // was admitted before
  SequenceId after = 0;     // not admitted until that one has drawn a token or ended; 0: none

  int64_t remaining() const { return target - computed; }
};

class SchedulingOrder {
 public:
  virtual ~SchedulingOrder() = default;
  // A strict weak order in which no two sequences are equal.
  virtual bool before(const ScheduledSequence& a, const ScheduledSequence& b, double now) const = 0;
};

class FirstComeFirstServed : public SchedulingOrder {
 public:
  bool before(const ScheduledSequence& a, const ScheduledSequence& b, double) const override {
    return a.arrived != b.arrived ? a.arrived < b.arrived : a.id < b.id;
  }
};

}  // namespace ashlar::serve
