// How far a long task is. At a terminal one live line: bar, percent, time left, the caller's
// fields, rate; at most ten redraws a second. Where it is narrow the last parts give way. In a file
// or pipe plain lines, at intervals that grow from 1 s to 60 s. Log lines and the live line do not
// tear each other.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/base/log.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ashlar {

// Where progress goes.
struct ProgressSink {
  std::function<void(std::string_view)> write;
  std::function<int()> width;  // columns now
  bool terminal = false;       // a live line; else plain lines
  bool color = false;
  bool utf8 = false;  // may the bar use block characters?
};

// Standard error: a live line at a terminal that can move its cursor; NO_COLOR is respected.
ProgressSink stderr_progress_sink();

struct ProgressField {
  std::string name, value;  // shown as "loss 2.31", in plain lines as loss=2.31
};

class Progress : private log::LiveLine {
 public:
  // total <= 0: unknown. A resumed task starts at `done`; that part does not count for the rate.
  Progress(std::string title, std::string unit, int64_t total, const Clock& clock,
           ProgressSink sink = stderr_progress_sink(), int64_t done = 0);
  // An abandoned task leaves its last line standing.
  ~Progress() override;
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // From any one thread; cheap enough for every step. Fields that matter most come first.
  void update(int64_t done, std::vector<ProgressField> fields = {});
  // Shows the last state and the time it took.
  void finish();

 private:
  void hide() override;
  void show() override;

  void draw(double now, bool last);
  void measure(double now);
  std::string live_line(double now, bool last) const;
  std::string plain_line(double now, bool last) const;
  std::string bar(int columns) const;
  std::string count_text(bool with_words) const;
  std::string time_left(double now, bool last) const;
  double rate(double now) const;

  std::string title_, unit_;
  int64_t total_;
  const Clock& clock_;
  ProgressSink sink_;

  int64_t first_done_, done_;
  std::vector<ProgressField> fields_;
  double start_;
  double rate_ = 0;  // units a second, smoothed; 0: not measured yet
  double measured_at_;
  int64_t measured_done_;
  double interval_ = 1;
  double next_draw_;
  bool finished_ = false;
  std::string on_screen_;  // the live line as it stands; guarded by log::screen_mutex()
};

}  // namespace ashlar
