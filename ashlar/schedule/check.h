// Proves a schedule before anything runs: every microbatch passes F, B and W exactly once on every
// stage of one replica, in that order; what crosses ranks is sent and received once; weights and
// saved values are there when they are used; the update comes last and sums all replicas; and the
// ranks never wait for each other in a circle.
#pragma once

#include "ashlar/base/error.h"
#include "ashlar/schedule/communication.h"
#include "ashlar/schedule/schedule.h"

#include <string>

namespace ashlar::schedule {

// One rank's list is at fault.
class ListError : public Error {
 public:
  ListError(const std::string& message, int rank, size_t instruction)
      : Error(message), rank_(rank), instruction_(instruction) {}
  int rank() const { return rank_; }
  size_t instruction() const { return instruction_; }  // the list's length: it ends too early

 private:
  int rank_;
  size_t instruction_;
};

// Throws an Error that names rank, instruction (counted from 0) and what is missing. A schedule
// without messages is taken as one whose values reach their users by themselves.
void check(const Schedule& schedule, Sends sends = Sends::kBuffered);

}  // namespace ashlar::schedule
