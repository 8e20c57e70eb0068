#include "ashlar/train/pipeline_schedule.h"

#include "ashlar/base/edit_distance.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/schedule/check.h"
#include "ashlar/schedule/generators.h"
#include "ashlar/schedule/text.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <string>

namespace ashlar::train {
namespace {

constexpr const char* kKey = "config parallel.schedule";

bool is_generator(const std::string& name) {
  return std::ranges::count(schedule::generator_names(), name) > 0;
}

// How many microbatches there are, and why.
std::string counted(const TrainConfig& config) {
  const int64_t rows = config.train.batch / config.data_ranks();
  return fmt::format("train.batch={} on {} data ranks with train.microbatch={} gives {} a step",
                     config.train.batch, config.data_ranks(), rows / microbatches(config),
                     microbatches(config));
}

schedule::Schedule from_file(const std::string& path) {
  const std::string text = read_file(path);
  try {
    const schedule::Schedule parsed = schedule::parse(text, path);
    schedule::check(parsed);
    return parsed;
  } catch (const schedule::ListError& error) {
    fail_usage("{}: {}:{}: {}", kKey, path,
               schedule::place_of(text, error.rank(), error.instruction()), error.what());
  } catch (const Error& error) {
    const std::string what = error.what();
    fail_usage("{}: {}{}", kKey, what.starts_with(path) ? "" : path + ": ", what);
  }
}

schedule::Schedule from_name(const TrainConfig& config) {
  const std::string& name = config.parallel.schedule;
  const auto chunks = static_cast<int>(config.parallel.chunks);
  if (name == "hanayo" && chunks % 2 != 0) {
    fail_usage("config parallel.chunks: {} stages a rank are no waves of two; {} or {} are", chunks,
               std::max(2, chunks - 1), chunks + 1);
  }
  const schedule::Shape shape{.ranks = static_cast<int>(config.mesh.pipe),
                              .microbatches = static_cast<int>(microbatches(config)),
                              .chunks = chunks == 0 ? 2 : chunks,
                              .waves = chunks == 0 ? 1 : chunks / 2};
  if (!is_generator(name)) {
    const auto all = schedule::generator_names();
    const auto similar = nearest(name, all);
    fail_usage("{}: '{}' is no schedule and no file; {}", kKey, name,
               similar ? fmt::format("did you mean {}?", *similar)
                       : fmt::format("schedules are {}", fmt::join(all, ", ")));
  }
  try {
    return schedule::generate(name, shape);
  } catch (const Error& error) {
    fail_usage("{}: {}; {}", kKey, error.what(), counted(config));
  }
}

void check_fits(const TrainConfig& config, const schedule::Schedule& schedule) {
  if (schedule.stages.ranks() != config.mesh.pipe) {
    fail_usage("{}: {} is for {} ranks, mesh.pipe={}", kKey, schedule.name, schedule.stages.ranks(),
               config.mesh.pipe);
  }
  if (schedule.microbatches != microbatches(config)) {
    fail_usage("{}: {} is for {} microbatches, but {}", kKey, schedule.name, schedule.microbatches,
               counted(config));
  }
  for (int replica = 0; replica < schedule.stages.replicas(); ++replica) {
    std::set<int> ranks;
    for (int stage = 0; stage < schedule.stages.stages(); ++stage) {
      ranks.insert(schedule.stages.rank(replica, stage));
    }
    if (static_cast<int>(ranks.size()) == schedule.stages.ranks()) continue;
    fail_usage(
        "{}: copy {} of the model in {} is on {} of the {} ranks; a copy needs all of them "
        "(mesh.data shares a batch among pipelines)",
        kKey, replica, schedule.name, ranks.size(), schedule.stages.ranks());
  }
  const auto held = static_cast<int64_t>(schedule.stages.chunks(0).size());
  if (config.parallel.chunks > 0 && config.parallel.chunks != held) {
    fail_usage(
        "config parallel.chunks: {}, but {} has {} stages a rank; leave it out, or use interleaved "
        "or hanayo",
        config.parallel.chunks, schedule.name, held);
  }
}

}  // namespace

int64_t microbatches(const TrainConfig& config) {
  const int64_t rows = config.train.batch / config.data_ranks();
  return config.train.microbatch > 0 ? rows / config.train.microbatch : 1;
}

schedule::Schedule pipeline_schedule(const TrainConfig& config) {
  const std::string& name = config.parallel.schedule;
  const bool by_name = is_generator(name) || !is_file(name);
  const schedule::Schedule schedule = by_name ? from_name(config) : from_file(name);
  check_fits(config, schedule);
  try {
    return schedule::ready_to_run(schedule);
  } catch (const Error& error) {
    fail_usage("{}: {}", kKey, error.what());
  }
}

}  // namespace ashlar::train
