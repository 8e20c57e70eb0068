#include "ashlar/train/checkpoint_writer.h"

#include "ashlar/base/crash_point.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/file_aside.h"
#include "ashlar/comm/share_text.h"
#include "ashlar/train/checkpoint_parts.h"
#include "ashlar/train/moment_files.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <utility>

namespace ashlar::train {
namespace {

constexpr double kPollSeconds = 0.01;
// Once nobody trains on, what is not there soon will not come.
constexpr double kGraceSeconds = 10;

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

CheckpointWriter::CheckpointWriter(CheckpointPlan plan, const RankGraphs& graphs,
                                   const runtime::VariableStore& store, comm::Communicator* comm)
    : plan_(std::move(plan)),
      comm_(comm),
      options_{.dtype = DType::kF32, .text_files = plan_.text_files, .label = "checkpoint.model"} {
  const StateLayout layout = state_layout(graphs, store, comm);
  ranks_ = layout.ranks;
  rank_ = comm != nullptr ? comm->rank() : 0;
  save_plan_ = plan_save(layout, plan_.model, options_);
  snapshot_.emplace(save_plan_, layout, store, comm);
  planned_bytes_ = save_bytes(save_plan_, layout, rank_);
  if (rank_ == 0) {
    make_directories(checkpoints_folder(plan_.run_dir));
    sync_path(plan_.run_dir);
  }
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
    staging_.reset();  // removes what was not published
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

bool CheckpointWriter::busy() {
  const std::lock_guard lock(mutex_);
  return busy_;
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

void CheckpointWriter::save(TrainerState state) {
  wait();
  if (rank_ == 0) {
    staging_.emplace(checkpoint_folder(plan_.run_dir, state.step), "checkpoint.folder");
    folder_ = staging_->path();
  }
  if (comm_ != nullptr) folder_ = comm::share_text(*comm_, folder_, "checkpoint.folder");
  snapshot_->take();
  state_ = std::move(state);
  {
    const std::lock_guard lock(mutex_);
    busy_ = true;
  }
  changed_.notify_all();
}

void CheckpointWriter::write() {
  if (rank_ == 0) {
    publish(write_own(folder_));
    return;
  }
  std::optional<PartLock> lock;  // held until the note is there
  try {
    lock.emplace(folder_, rank_);
    std::vector<formats::FileRecord> files = write_own(folder_);
    for (const std::string& path : plan_.sync_first) sync_path(path);
    publish_part(folder_, rank_, std::move(files));
  } catch (const std::exception& error) {
    note_failure(folder_, rank_, error.what());
    throw;
  }
}

std::vector<formats::FileRecord> CheckpointWriter::write_own(const std::string& folder) const {
  std::vector<formats::FileRecord> files = bundle::write_weights(
      folder, save_plan_.weights, rank_,
      [&](const bundle::ParameterPart& part) { return snapshot_->parameter(part); }, options_);
  if (rank_ == 0) {
    std::ranges::move(bundle::write_texts(folder, save_plan_.weights, plan_.model, options_),
                      std::back_inserter(files));
  }
  make_directories(join_path(folder, "state"));
  for (const MomentFile& file : save_plan_.moments) {
    if (file.writer != rank_) continue;
    files.push_back(write_moments(
        folder, file, [&](const std::string& name) { return snapshot_->moment(name); }));
  }
  return files;
}

// The rest of the checkpoint is rank 0's.
void CheckpointWriter::publish(std::vector<formats::FileRecord> files) {
  if (ranks_ > 1) files.push_back(write_moments_index(folder_, save_plan_.moments));
  write_file(join_path(folder_, kTrainerState), state_.to_json(), "checkpoint.trainer");
  files.push_back(formats::record_file(folder_, kTrainerState));
  double left_s = plan_.part_timeout_s;
  std::ranges::move(await_parts(folder_, ranks_, [&] { return wait_for_parts(left_s); }),
                    std::back_inserter(files));
  formats::Manifest(std::move(files)).write(folder_, "checkpoint.manifest");

  crash_point("checkpoint.logs", "before_sync");
  for (const std::string& path : plan_.sync_first) sync_path(path);
  crash_point("checkpoint.logs", "after_sync");
  staging_->commit();
  point_latest(state_.step);
  remove_old(state_);
}

// Files give no sign when they appear, least of all from other machines: looks again and again.
bool CheckpointWriter::wait_for_parts(double& left_s) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::duration<double>(kPollSeconds));
  if (stop_) left_s = std::min(left_s, kGraceSeconds);
  left_s -= kPollSeconds;
  return left_s > 0;
}

void CheckpointWriter::point_latest(int64_t step) const {
  const std::string path = join_path(plan_.run_dir, "latest");
  const std::string text =
      fmt::format("checkpoints/{}\n", file_name(checkpoint_folder(plan_.run_dir, step)));
  if (is_file(path) && read_file(path) == text) return;
  write_file(path, text, "checkpoint.latest");
}

void CheckpointWriter::resume_from(const TrainerState& state) const {
  if (rank_ > 0) return;
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
