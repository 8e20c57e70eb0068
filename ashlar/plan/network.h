// The links of a job on several nodes, and collectives played on them in simulated time: the same
// steps that ranks carry out for real (comm/program.h).
#pragma once

#include "ashlar/comm/program.h"
#include "ashlar/sim/link.h"

#include <vector>

namespace ashlar::plan {

// Two classes of links: one out of each rank to those of its node, one out of each node, which its
// ranks share.
struct Network {
  int node_ranks = 0;  // ranks that follow one another on a node; 0: all are on one
  sim::LinkSpec inside, across;

  int node(int rank) const { return node_ranks > 0 ? rank / node_ranks : 0; }
};

struct RankProgram {
  int rank;  // of the job
  comm::Program program;
};

// Seconds from a common start until the last rank is through. Sums and copies take no time.
double play_collective(const std::vector<RankProgram>& programs, const Network& network);

}  // namespace ashlar::plan
