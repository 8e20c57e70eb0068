#include "ashlar/cli/serve_loading.h"

namespace ashlar::cli {

void ServeLoading::operator()(std::string_view stage, double fraction) {
  constexpr double kWorthALine = 0.5;  // seconds
  if (server_.stopping()) throw LoadingStopped();
  backend_.show(stage, fraction);
  const double now = clock_.now();
  if (stage != stage_) {
    if (progress_) progress_->finish();
    progress_.reset();
    stage_ = stage;
    began_ = now;
  }
  if (!progress_) {
    if (now - began_ < kWorthALine) return;
    progress_.emplace(stage_, "byte", bytes_, clock_);
  }
  progress_->update(static_cast<int64_t>(fraction * static_cast<double>(bytes_)));
}

}  // namespace ashlar::cli
