#include "ashlar/train/checkpoint_writer.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/crash_point.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/file_aside.h"
#include "ashlar/bundle/save_bundle.h"
#include "ashlar/formats/safetensors_writer.h"
#include "ashlar/models/family.h"

#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <utility>

namespace ashlar::train {
namespace {

using graph::VariableKind;

bool is_state(const graph::Variable& variable) {
  return variable.kind == VariableKind::kParameter || variable.kind == VariableKind::kOptimizer;
}

// Out of the way in one step, so that no half of it is ever found under its name.
void remove_checkpoint(const std::string& folder) {
  const std::string aside = aside_path(folder);
  crash_point("checkpoint.remove", "before_rename");
  std::error_code error;
  std::filesystem::rename(folder, aside, error);
  ASHLAR_CHECK(!error, "cannot remove {}: {}", folder, error.message());
  crash_point("checkpoint.remove", "after_rename");
  sync_path(parent_path(folder));
  remove_tree(aside);
}

}  // namespace

CheckpointWriter::CheckpointWriter(CheckpointPlan plan, const graph::Graph& graph,
                                   const runtime::VariableStore& store)
    : plan_(std::move(plan)), graph_(graph), store_(store) {
  make_directories(checkpoints_folder(plan_.run_dir));
  sync_path(plan_.run_dir);
  thread_ = std::thread([this] { run(); });
}

CheckpointWriter::~CheckpointWriter() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CheckpointWriter::run() {
  ::pthread_setname_np(::pthread_self(), "checkpoint");
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return busy_ || stop_; });
      if (!busy_) return;
    }
    std::exception_ptr failed;
    try {
      write();
    } catch (...) {
      failed = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      busy_ = false;
      failed_ = failed;
    }
    changed_.notify_all();
  }
}

void CheckpointWriter::rethrow() {
  if (failed_) std::rethrow_exception(std::exchange(failed_, nullptr));
}

void CheckpointWriter::check() {
  const std::lock_guard lock(mutex_);
  rethrow();
}

void CheckpointWriter::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !busy_; });
  rethrow();
}

int64_t CheckpointWriter::planned_bytes() const {
  int64_t copy = 0, making = 0;
  for (const graph::Variable& variable : graph_.variables()) {
    if (is_state(variable)) copy += static_cast<int64_t>(store_.at(variable.name).bytes());
  }
  for (const models::WeightRule& rule : models::weight_rules(plan_.model)) {
    int64_t bytes = 0;
    for (const std::string& name : rule.parameters) {
      bytes += static_cast<int64_t>(store_.at(name).bytes());
    }
    // Pieces are laid end to end, what they make is transposed: a new tensor each.
    making = std::max(making, bytes * ((rule.parameters.size() > 1 ? 1 : 0) + rule.transpose));
  }
  return copy + making;
}

void CheckpointWriter::save(TrainerState state) {
  wait();
  for (const graph::Variable& variable : graph_.variables()) {
    if (!is_state(variable)) continue;
    const Tensor& tensor = store_.at(variable.name);
    Tensor& copy = snapshot_[variable.name];
    if (copy.empty()) copy = Tensor(tensor.dtype(), tensor.shape());
    std::memcpy(copy.data(), tensor.data(), tensor.bytes());
  }
  state_ = std::move(state);
  {
    const std::lock_guard lock(mutex_);
    busy_ = true;
  }
  changed_.notify_all();
}

void CheckpointWriter::write() const {
  const std::string target = checkpoint_folder(plan_.run_dir, state_.step);
  AtomicDirectory folder(target, "checkpoint.folder");
  std::vector<formats::FileRecord> files = bundle::write_bundle(
      folder.path(), plan_.model, [&](const std::string& name) { return snapshot_.at(name); },
      {.dtype = DType::kF32, .text_files = plan_.text_files, .label = "checkpoint.model"});

  make_directories(folder.path("state"));
  std::vector<formats::TensorSpec> moments;
  for (const graph::Variable& variable : graph_.variables()) {
    if (variable.kind != VariableKind::kOptimizer) continue;
    moments.push_back({variable.name, variable.dtype, variable.shape});
  }
  formats::SafetensorsOptions options;
  options.label = "checkpoint.optimizer";
  // Its checksum comes from writing it: read back, it would be in memory once more.
  formats::FileRecord record = formats::write_safetensors(
      folder.path(kMoments), moments,
      [&](const formats::TensorSpec& spec) { return snapshot_.at(spec.name); }, options);
  record.name = kMoments;
  files.push_back(std::move(record));
  write_file(folder.path(kTrainerState), state_.to_json(), "checkpoint.trainer");
  files.push_back(formats::record_file(folder.path(), kTrainerState));
  formats::Manifest(std::move(files)).write(folder.path(), "checkpoint.manifest");

  crash_point("checkpoint.logs", "before_sync");
  for (const std::string& path : plan_.sync_first) sync_path(path);
  crash_point("checkpoint.logs", "after_sync");
  folder.commit();
  point_latest(state_.step);
  remove_old(state_);
}

void CheckpointWriter::point_latest(int64_t step) const {
  const std::string path = join_path(plan_.run_dir, "latest");
  const std::string text =
      fmt::format("checkpoints/{}\n", file_name(checkpoint_folder(plan_.run_dir, step)));
  if (is_file(path) && read_file(path) == text) return;
  write_file(path, text, "checkpoint.latest");
}

void CheckpointWriter::resume_from(const TrainerState& state) const {
  point_latest(state.step);
  remove_leftovers(checkpoints_folder(plan_.run_dir));
  remove_old(state);
}

void CheckpointWriter::remove_old(const TrainerState& state) const {
  if (plan_.keep == 0) return;
  std::vector<int64_t> steps = list_checkpoints(plan_.run_dir);
  // A later one can only be torn (resuming passed it over); it is written anew in its turn.
  std::erase_if(steps, [&](int64_t step) { return step > state.step; });
  const auto count = static_cast<int64_t>(steps.size());
  for (int64_t i = 0; i < count - plan_.keep; ++i) {
    const int64_t step = steps[static_cast<size_t>(i)];
    if (plan_.best && step == state.best_step) continue;
    remove_checkpoint(checkpoint_folder(plan_.run_dir, step));
  }
}

}  // namespace ashlar::train
