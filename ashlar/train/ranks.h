// A training job as one of its ranks sees it: the mesh the configuration asks for, its own place
// there, and the few numbers that all ranks must agree on. Alone, every call is local.
#pragma once

#include "ashlar/comm/communicator.h"
#include "ashlar/data/batch_maker.h"
#include "ashlar/passes/shard.h"
#include "ashlar/train/config.h"

#include <span>
#include <string>
#include <vector>

namespace ashlar::train {

class Ranks {
 public:
  // comm: null where the job is one rank; outlives this. Throws where the job is not as large as
  // the mesh.
  Ranks(const TrainConfig& config, comm::Communicator* comm);
  // As `rank` of the job with nobody to talk to: for a plan. on_a_host: ranks; 0: all.
  Ranks(const TrainConfig& config, int rank, int on_a_host = 0);

  const Mesh& mesh() const { return mesh_; }
  comm::Communicator* comm() const { return comm_; }
  int rank() const { return rank_; }
  int count() const { return mesh_.size(); }
  bool first() const { return rank_ == 0; }
  int on_this_host() const { return on_this_host_; }  // ranks
  int threads(const RunSection& run) const;           // of this rank: those of a host share its
  // The cores of this host that ranks before this one take, of as many threads each.
  int first_core(const RunSection& run) const { return before_on_this_host_ * threads(run); }

  // Ranks that take rows of their own of the global batch, and which of them this is.
  int64_t data_ranks() const { return data_ranks_; }
  int64_t data_rank() const { return data_rank_; }
  int pipe_index() const { return mesh_.coordinate(rank_, "pipe"); }
  // Rows that a rank computes at once.
  int64_t microbatch(const TrainSection& train) const;
  // Its rows of the global batch.
  data::BatchShape batch_shape(const TrainSection& train) const;
  passes::ShardPlan shard_plan(const TrainConfig& config) const;

  // Sums over all ranks, this one's terms in place.
  void sum(std::span<double> values) const;
  // What each rank says, rank after rank.
  std::vector<double> gather(std::span<const double> values) const;
  // This rank's term of a sum over tokens: 0 where another rank holds the same.
  double share(double value) const { return counts_ ? value : 0; }

 private:
  void place(int rank);

  Mesh mesh_;
  comm::Communicator* comm_;
  int rank_ = 0;
  int on_this_host_ = 1, before_on_this_host_ = 0;
  int64_t data_ranks_ = 1, data_rank_ = 0;
  bool counts_ = true;
};

// Throws UsageError where the model or the batch does not fit the mesh, with the nearest that do.
void check_layout(const TrainConfig& config, const models::DecoderConfig& model);

}  // namespace ashlar::train
