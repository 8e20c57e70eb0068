#include "ashlar/train/run_folder.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/cpu.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/version.h"
#include "ashlar/train/checkpoint.h"

#include <nlohmann/json.hpp>

#include <sys/utsname.h>

#include <ctime>
#include <utility>
#include <vector>

namespace ashlar::train {
namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text, length};
}

// Returns the folder, so that the logs can be opened in it.
std::string prepare(const TrainConfig& config, int64_t first_step) {
  const std::string& dir = config.run.dir;
  make_directories(dir);
  remove_leftovers(dir);
  write_file(join_path(dir, "config.toml"), config.to_toml(), "config");
  sync_path(parent_path(dir));
  if (first_step == 1 && is_directory(join_path(dir, "tensorboard"))) {
    remove_tree(join_path(dir, "tensorboard"));  // of a start that left no checkpoint
  }
  return dir;
}

}  // namespace

std::string RunRecord::to_json() const {
  const CpuInfo cpu = cpu_info();
  utsname system{};
  ::uname(&system);
  nlohmann::ordered_json parts;
  for (const auto& [part, bytes] : memory.parts()) parts[part] = bytes;
  const nlohmann::ordered_json json = {
      {"started", utc_now()},
      {"first_step", first_step},
      {"version", version()},
      {"revision", revision()},
      {"host", system.nodename},
      {"system", fmt::format("{} {}", system.sysname, system.release)},
      {"cpu", cpu.model},
      {"cores", cpu.logical_cores},
      {"threads", threads},
      {"tier", name(tier)},
      {"peak_flops", peak_flops},
      {"parameters", parameters},
      {"planned_bytes", memory.total()},
      {"memory", parts}};
  return json.dump();
}

RunFolder::RunFolder(const TrainConfig& config, int64_t first_step)
    : dir_(prepare(config, first_step)),
      metrics_(path("metrics.jsonl"), first_step - 1),
      samples_(path("samples.jsonl"), first_step - 1) {
  sync_path(dir_);
  if (config.run.tensorboard) {
    make_directories(path("tensorboard"));
    events_.emplace(path("tensorboard"));
    if (first_step > 1) events_->restart(first_step);
  }
}

std::string RunFolder::path(std::string_view name) const { return join_path(dir_, name); }

void RunFolder::record(const RunRecord& record) {
  FileWriter file(path("record.jsonl"), {.append = true, .label = "record"});
  file.write(record.to_json() + "\n");
  file.sync();
  file.close();
}

void RunFolder::write(const StepMetrics& step) {
  metrics_.write(step.to_json());
  if (!events_) return;
  std::vector<std::pair<std::string, double>> values = {{"train/loss", step.loss},
                                                        {"train/grad_norm", step.grad_norm},
                                                        {"train/lr", step.lr},
                                                        {"train/tokens_per_s", step.tokens_per_s},
                                                        {"train/mfu", step.mfu}};
  if (step.aux_loss > 0) values.emplace_back("train/aux_loss", step.aux_loss);
  if (step.valid_loss) values.emplace_back("valid/loss", *step.valid_loss);
  events_->scalars(step.step, values);
  events_->flush();
}

void RunFolder::write_sample(int64_t step, const std::string& text) {
  // A sample may end inside a character.
  samples_.write(nlohmann::ordered_json({{"step", step}, {"text", text}})
                     .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace ashlar::train
