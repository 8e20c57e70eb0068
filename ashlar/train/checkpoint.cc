#include "ashlar/train/checkpoint.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/base/log.h"
#include "ashlar/formats/manifest.h"
#include "ashlar/train/model_source.h"
#include "ashlar/train/moment_files.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>

namespace ashlar::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kPrefix = "step-";

std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const char* begin = name.data() + kPrefix.size();
  const char* end = name.data() + name.size();
  int64_t step = 0;
  const auto [stop, error] = std::from_chars(begin, end, step);
  if (error != std::errc() || stop != end || step < 1) return std::nullopt;
  return step;
}

template <typename T>
void put(Json& json, const char* key, const std::optional<T>& value) {
  if (value) json[key] = *value;
}

template <typename T>
void get(const Json& json, const char* key, std::optional<T>& value) {
  if (json.contains(key)) value = json.at(key).get<T>();
}

}  // namespace

std::string TrainerState::to_json() const {
  Json json = {{"step", step},
               {"seed", seed},
               {"tokens", tokens},
               {"loader", Json::parse(loader.to_json())},
               // Draws are a pure function of seed, step, place and element: nothing else to keep.
               {"rng", {{"kind", "philox4x32-10"}, {"seed", seed}, {"step", step}}},
               {"optimizer", optimizer},
               {"dtype", dtype},
               {"tier", tier},
               {"version", version},
               {"config", config}};
  put(json, "valid_loss", valid_loss);
  put(json, "valid_loss_start", valid_loss_start);
  put(json, "best_step", best_step);
  put(json, "best_valid_loss", best_valid_loss);
  put(json, "loss_scale", loss_scale);
  if (loss_scale) {
    json["loss_scale_good_steps"] = loss_scale_good_steps;
    json["skipped_steps"] = skipped_steps;
  }
  return json.dump(2) + "\n";
}

TrainerState TrainerState::from_json(const std::string& text, const std::string& source) {
  const Json json = parse_json<Json>(text, source);
  try {
    TrainerState state;
    state.step = json.at("step").get<int64_t>();
    state.seed = json.at("seed").get<uint64_t>();
    state.tokens = json.at("tokens").get<int64_t>();
    state.loader = data::LoaderState::from_json(json.at("loader").dump(), source);
    state.optimizer = json.at("optimizer").get<std::string>();
    state.dtype = json.at("dtype").get<std::string>();
    state.tier = json.at("tier").get<std::string>();
    state.version = json.at("version").get<std::string>();
    state.config = json.at("config").get<std::string>();
    get(json, "valid_loss", state.valid_loss);
    get(json, "valid_loss_start", state.valid_loss_start);
    get(json, "best_step", state.best_step);
    get(json, "best_valid_loss", state.best_valid_loss);
    get(json, "loss_scale", state.loss_scale);
    state.loss_scale_good_steps = json.value("loss_scale_good_steps", int64_t{0});
    state.skipped_steps = json.value("skipped_steps", int64_t{0});
    return state;
  } catch (const Json::exception& error) {
    fail("{}: not the state of a trainer: {}", source, error.what());
  }
}

std::string checkpoints_folder(const std::string& run_dir) {
  return join_path(run_dir, "checkpoints");
}

std::string checkpoint_folder(const std::string& run_dir, int64_t step) {
  return join_path(checkpoints_folder(run_dir), fmt::format("{}{}", kPrefix, step));
}

std::vector<int64_t> list_checkpoints(const std::string& run_dir) {
  std::vector<int64_t> steps;
  const std::string folder = checkpoints_folder(run_dir);
  if (!is_directory(folder)) return steps;
  for (const std::string& name : list_directory(folder)) {
    if (const auto step = step_of(name)) steps.push_back(*step);
  }
  std::ranges::sort(steps);
  return steps;
}

namespace {

std::optional<int64_t> find_whole(const std::string& run_dir) {
  std::vector<int64_t> steps = list_checkpoints(run_dir);
  std::ranges::reverse(steps);
  for (const int64_t step : steps) {
    const std::string folder = checkpoint_folder(run_dir, step);
    try {
      formats::Manifest::read(folder).verify(folder);
      return step;
    } catch (const Error& error) {
      log::warn("event=checkpoint_skipped step={} reason=\"{}\"", step, error.what());
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<int64_t> find_checkpoint(const std::string& run_dir, comm::Communicator* comm) {
  if (comm == nullptr) return find_whole(run_dir);
  int64_t step = comm->rank() == 0 ? find_whole(run_dir).value_or(0) : 0;
  comm->broadcast(comm->world(), 0, comm::buffer(std::span(&step, 1)), "checkpoint.find");
  return step > 0 ? std::optional(step) : std::nullopt;
}

TrainerState read_trainer_state(const std::string& folder) {
  const std::string path = join_path(folder, kTrainerState);
  return TrainerState::from_json(read_json_text(path), path);
}

int64_t load_checkpoint(const std::string& folder, const graph::Graph& graph,
                        runtime::VariableStore& store) {
  int64_t bytes = load_parameters(bundle::Bundle::open(folder), graph, store);
  MomentReader moments(folder);
  for (const graph::Variable& variable : graph.variables()) {
    if (variable.kind != graph::VariableKind::kOptimizer) continue;
    store.put(variable.name, moments.read(variable, bytes));
  }
  return bytes;
}

}  // namespace ashlar::train
