#include "ashlar/train/ranks.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/env.h"
#include "ashlar/base/error.h"
#include "ashlar/train/pipeline_schedule.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace ashlar::train {
namespace {

double host_number() {
  // As many bits as a double holds.
  return static_cast<double>(std::hash<std::string>{}(host_name()) >> 12);
}

// `sizes` things lie along an axis that must divide them all.
void check_divides(const char* key, int64_t ranks,
                   const std::vector<std::pair<std::string, int64_t>>& sizes) {
  int64_t common = 0;
  bool fits = true;
  for (const auto& [what, size] : sizes) {
    common = std::gcd(common, size);
    fits = fits && size % ranks == 0;
  }
  if (fits) return;
  std::vector<std::string> have;
  for (const auto& [what, size] : sizes) have.push_back(fmt::format("{} {}", size, what));
  std::vector<int64_t> good;
  for (int64_t n = 1; n <= common; ++n) {
    if (common % n == 0) good.push_back(n);
  }
  fail_usage("config {}: {} ranks do not divide {}; {} would", key, ranks, fmt::join(have, " and "),
             fmt::join(good, ", "));
}

// Each stage has a layer at least.
void check_stages(const TrainConfig& config, int64_t layers) {
  const int64_t stages = pipeline_schedule(config).stages.stages();
  const int64_t held = stages / config.mesh.pipe;
  if (layers >= stages) return;
  fail_usage("config mesh.pipe: {} layers do not fill {} ranks of {} stages ({}); {}", layers,
             config.mesh.pipe, held, config.parallel.schedule,
             layers >= 2 * held ? fmt::format("at most {} ranks", layers / held)
                                : "take a schedule of one stage a rank, such as 1f1b");
}

}  // namespace

Ranks::Ranks(const TrainConfig& config, comm::Communicator* comm)
    : mesh_(Mesh::standard(config.mesh.sizes())), comm_(comm) {
  mesh_.check_job(comm == nullptr ? 1 : comm->size());
  if (comm == nullptr) return;
  place(comm->rank());
  const double mine = host_number();
  const std::vector<double> hosts = gather({&mine, 1});
  on_this_host_ = static_cast<int>(std::ranges::count(hosts, mine));
  before_on_this_host_ = static_cast<int>(std::count(hosts.begin(), hosts.begin() + rank_, mine));
}

Ranks::Ranks(const TrainConfig& config, int rank, int on_a_host)
    : mesh_(Mesh::standard(config.mesh.sizes())),
      comm_(nullptr),
      on_this_host_(on_a_host > 0 ? std::min(on_a_host, mesh_.size()) : mesh_.size()) {
  place(rank);
}

void Ranks::place(int rank) {
  rank_ = rank;
  data_ranks_ = mesh_.size("data") * mesh_.size("expert");
  data_rank_ =
      mesh_.coordinate(rank_, "data") * mesh_.size("expert") + mesh_.coordinate(rank_, "expert");
  counts_ = mesh_.coordinate(rank_, "tensor") == 0 &&
            mesh_.coordinate(rank_, "pipe") == mesh_.size("pipe") - 1;
}

int Ranks::threads(const RunSection& run) const {
  const int threads = run.threads > 0 ? run.threads : cpu_info().logical_cores;
  return std::max(1, threads / on_this_host_);
}

int64_t Ranks::microbatch(const TrainSection& train) const {
  return train.microbatch > 0 ? train.microbatch : std::max<int64_t>(1, train.batch / data_ranks_);
}

data::BatchShape Ranks::batch_shape(const TrainSection& train) const {
  return {.batch = train.batch,
          .microbatch = microbatch(train),
          .rank = data_rank_,
          .ranks = data_ranks_,
          .seq = train.seq};
}

passes::ShardPlan Ranks::shard_plan(const TrainConfig& config) const {
  passes::ShardPlan plan;
  plan.mesh = mesh_;
  plan.zero = static_cast<int>(config.parallel.zero);
  plan.sequence = config.parallel.sequence;
  plan.context = config.parallel.context;
  plan.seq = config.train.seq;
  return plan;
}

void Ranks::sum(std::span<double> values) const {
  if (comm_ == nullptr) return;
  comm_->all_reduce(comm_->world(), comm::Reduce::kSum, comm::buffer(values), "step");
}

std::vector<double> Ranks::gather(std::span<const double> values) const {
  if (comm_ == nullptr) return {values.begin(), values.end()};
  std::vector<double> all(values.size() * static_cast<size_t>(comm_->size()));
  const std::vector<int64_t> counts(static_cast<size_t>(comm_->size()),
                                    static_cast<int64_t>(values.size()));
  comm_->all_gather(comm_->world(), comm::buffer(values), counts, comm::buffer(std::span(all)),
                    "step");
  return all;
}

void check_layout(const TrainConfig& config, const models::DecoderConfig& model) {
  const MeshSizes mesh = config.mesh.sizes();
  check_divides("mesh.tensor", mesh.tensor,
                {{"query heads", model.heads}, {"key-value heads", model.kv_heads}});
  switch (config.parallel.context) {
    case passes::ContextParallel::kUlysses:
      check_divides("mesh.context", static_cast<int64_t>(mesh.context) * mesh.tensor,
                    {{"query heads", model.heads}, {"key-value heads", model.kv_heads}});
      break;
    case passes::ContextParallel::kRing:
    case passes::ContextParallel::kZigzag:
      if (config.train.seq < 2 * mesh.context) {
        fail_usage("config mesh.context: {} ranks share rows of train.seq={} tokens; at most {}",
                   mesh.context, config.train.seq, config.train.seq / 2);
      }
  }
  if (mesh.context > 1 && model.rope.scaling == models::RopeScaling::kLong) {
    fail_usage(
        "config mesh.context: longrope rotates by how long a sequence is, which {} ranks that "
        "share "
        "it do not see; use mesh.data",
        mesh.context);
  }
  if (mesh.pipe > 1) check_stages(config, model.layers);
  if (mesh.expert > 1) {
    if (model.mixture.experts == 0) {
      fail_usage(
          "config mesh.expert: the model has no experts to split over {} ranks; use mesh.data",
          mesh.expert);
    }
    check_divides("mesh.expert", mesh.expert, {{"experts", model.mixture.experts}});
  }
  if (config.sample.every > 0 && !model.causal) {
    fail_usage("config sample.every: {} is an encoder and writes no text; set sample.every=0",
               model.family);
  }
  // Samples are computed in f32, from masters, of which ZeRO 1 leaves shards.
  const bool masters = config.train.dtype != DType::kF32 && config.train.master == Master::kF32;
  const bool whole = mesh.tensor == 1 && mesh.pipe == 1 && mesh.expert == 1 &&
                     config.parallel.zero < (masters ? 1 : 3);
  if (config.sample.every > 0 && !whole) {
    fail_usage(
        "config sample.every: samples need the whole model on the first rank, which "
        "mesh.tensor={}, mesh.pipe={}, mesh.expert={} and parallel.zero={} split{}; set "
        "sample.every=0",
        mesh.tensor, mesh.pipe, mesh.expert, config.parallel.zero,
        masters ? " (the f32 masters too)" : "");
  }
}

}  // namespace ashlar::train
