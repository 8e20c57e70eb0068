// How fast this machine is at what training does, measured in about a second: matrix products and
// attention of the model's own shapes through the kernels, memory, messages between ranks.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/comm/communicator.h"
#include "ashlar/kernels/table.h"
#include "ashlar/plan/graph_cost.h"
#include "ashlar/tensor/dtype.h"

#include <cstdint>

namespace ashlar::plan {

// What each rank does, and how many there are on this machine.
struct RankWork {
  int ranks = 1, threads = 1;  // threads: of each
  DType dtype = DType::kF32;
  int64_t tokens = 1, width = 1, ffn = 1;  // of a matrix product
  int64_t heads = 1, head_dim = 1, seq = 1;
};

// What a sum over the ranks of the job takes, of a rank that has its cores to itself: sets the
// rates of messages. All ranks call it.
void measure_messages(comm::Communicator& comm, const Clock& clock, MachineRates& rates);

// Of a rank that has its cores to itself; messages between ranks as threads.
MachineRates measure_rates(const RankWork& work, const kernels::KernelTable& table,
                           const Clock& clock);

}  // namespace ashlar::plan
