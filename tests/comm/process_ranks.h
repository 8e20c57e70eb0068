// Ranks as forked processes that talk over sockets, so that a test can kill one of them and see
// what the others do. When a rank is gone, those that wait for it get an Error.
#pragma once

#include "ashlar/comm/communicator.h"
#include "tests/base/child.h"

#include <functional>
#include <vector>

namespace ashlar::comm::testing {

// Runs f in n processes and waits for all. How each ended, by rank.
std::vector<ashlar::testing::ChildEnd> run_process_ranks(
    int n, const std::function<void(Communicator&)>& f);

}  // namespace ashlar::comm::testing
