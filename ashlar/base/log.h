// Log lines on stderr: one event a line, `key=value`, the rank first in a job of several ranks.
// Levels: debug, info, warn, error (ASHLAR_LOG or --log-level). stdout belongs to results.
#pragma once

#include <spdlog/spdlog.h>

#include <mutex>
#include <string_view>

namespace ashlar::log {

// Once at start, from the command line. rank < 0: a job of one process.
void init(std::string_view level, int rank = -1);

// From now on this thread's lines below a warning are dropped: for ranks whose first one speaks for
// all.
void quiet_this_thread();

// A line that stays at the bottom of the terminal (a progress bar): it steps aside for each log
// line.
class LiveLine {
 public:
  virtual ~LiveLine() = default;
  virtual void hide() = 0;  // both are called with screen_mutex() held
  virtual void show() = 0;
};
// Who writes to stderr beside the log holds this.
std::mutex& screen_mutex();
void set_live_line(LiveLine* line);  // null: none. Hold screen_mutex().

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

}  // namespace ashlar::log
