// What every backend has to do right: each case compares with a serial computation, bit by bit, and
// throws an Error that says what differs. Run by ranks as threads and by processes under mpirun.
#pragma once

#include "ashlar/comm/communicator.h"

#include <span>
#include <string>

namespace ashlar::comm::testing {

struct CollectiveCase {
  const char* name;
  void (*run)(Communicator& comm);
};
std::span<const CollectiveCase> collective_cases();

}  // namespace ashlar::comm::testing
