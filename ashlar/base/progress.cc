#include "ashlar/base/progress.h"

#include "ashlar/base/env.h"
#include "ashlar/base/human.h"

#include <fmt/format.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace ashlar {
namespace {

constexpr double kRedrawInterval = 0.1;  // seconds, at a terminal
constexpr double kLongestInterval = 60;  // between plain lines
constexpr double kIntervalGrowth = 1.5;
constexpr double kMeasureInterval = 0.5;  // of the rate
constexpr double kRateMemory = 15;        // seconds over which the rate is smoothed
constexpr int kWidestBar = 30, kNarrowestBar = 8;

constexpr std::string_view kEraseLine = "\r\x1b[K";
constexpr std::string_view kGreen = "\x1b[32m", kPlain = "\x1b[0m";

bool starts_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

// Characters, taking each code point for one column.
int columns_of(std::string_view text) {
  return static_cast<int>(std::ranges::count_if(text, starts_character));
}

std::string cut(std::string_view text, int columns) {
  size_t end = 0;
  for (; end < text.size(); ++end) {
    if (starts_character(text[end]) && columns-- <= 0) break;
  }
  return std::string(text.substr(0, end));
}

int terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  int columns = 80;
  if (const auto text = env("COLUMNS")) {
    std::from_chars(text->data(), text->data() + text->size(), columns);
  }
  return columns;
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (const auto value = env(name)) {
      return value->find("UTF-8") != std::string::npos || value->find("utf8") != std::string::npos;
    }
  }
  return false;
}

// "12.3 steps/s", or for slow ones "2.5 s/step".
std::string rate_text(double rate, const std::string& unit) {
  if (rate <= 0) return "";
  if (rate >= 1) return fmt::format("{} {}s/s", human_count(rate), unit);
  return fmt::format("{}/{}", human_seconds(1 / rate), unit);
}

}  // namespace

ProgressSink stderr_progress_sink() {
  ProgressSink sink;
  sink.write = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); };
  sink.width = terminal_width;
  sink.terminal = ::isatty(STDERR_FILENO) == 1 && env("TERM").value_or("dumb") != "dumb";
  sink.color = sink.terminal && !env("NO_COLOR");
  sink.utf8 = locale_is_utf8();
  return sink;
}

Progress::Progress(std::string title, std::string unit, int64_t total, const Clock& clock,
                   ProgressSink sink, int64_t done)
    : title_(std::move(title)),
      unit_(std::move(unit)),
      total_(total),
      clock_(clock),
      sink_(std::move(sink)),
      first_done_(done),
      done_(done),
      start_(clock.now()),
      measured_at_(start_),
      measured_done_(done),
      next_draw_(sink_.terminal ? start_ : start_ + interval_) {
  if (!sink_.terminal) return;
  std::lock_guard lock(log::screen_mutex());
  log::set_live_line(this);
}

Progress::~Progress() {
  if (finished_ || !sink_.terminal) return;
  std::lock_guard lock(log::screen_mutex());
  log::set_live_line(nullptr);
  if (!on_screen_.empty()) sink_.write("\n");
}

void Progress::update(int64_t done, std::vector<ProgressField> fields) {
  done_ = done;
  fields_ = std::move(fields);
  const double now = clock_.now();
  measure(now);
  if (now < next_draw_) return;
  draw(now, false);
  if (sink_.terminal) {
    next_draw_ = now + kRedrawInterval;
  } else {
    interval_ = std::min(interval_ * kIntervalGrowth, kLongestInterval);
    next_draw_ = now + interval_;
  }
}

void Progress::finish() {
  if (finished_) return;
  draw(clock_.now(), true);
  finished_ = true;
  if (!sink_.terminal) return;
  std::lock_guard lock(log::screen_mutex());
  log::set_live_line(nullptr);
}

void Progress::hide() {
  if (!on_screen_.empty()) sink_.write(kEraseLine);
}

void Progress::show() {
  if (!on_screen_.empty()) sink_.write(on_screen_);
}

void Progress::measure(double now) {
  const double elapsed = now - measured_at_;
  if (elapsed < kMeasureInterval) return;
  const double current = static_cast<double>(done_ - measured_done_) / elapsed;
  const double weight = rate_ > 0 ? 1 - std::exp(-elapsed / kRateMemory) : 1;
  rate_ += weight * (current - rate_);
  measured_at_ = now;
  measured_done_ = done_;
}

double Progress::rate(double now) const {
  if (rate_ > 0) return rate_;
  return now > start_ ? static_cast<double>(done_ - first_done_) / (now - start_) : 0;
}

void Progress::draw(double now, bool last) {
  const std::string line = sink_.terminal ? live_line(now, last) : plain_line(now, last);
  std::lock_guard lock(log::screen_mutex());
  if (!sink_.terminal) {
    sink_.write(line + "\n");
  } else if (last) {
    sink_.write(std::string(kEraseLine) + line + "\n");
    on_screen_.clear();
  } else {
    on_screen_ = line;
    sink_.write(std::string(kEraseLine) + line);
  }
}

std::string Progress::bar(int columns) const {
  const double part = std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0., 1.);
  const int full = static_cast<int>(part * columns);
  std::string text = sink_.color ? std::string(kGreen) : "";
  for (int i = 0; i < columns; ++i) {
    if (i == full && sink_.color) text += kPlain;
    text += sink_.utf8 ? (i < full ? "\u2588" : "\u2591") : (i < full ? "#" : "-");
  }
  if (full == columns && sink_.color) text += kPlain;
  return text;
}

// " 25%  250/1000 steps", or no more than the numbers.
std::string Progress::count_text(bool with_words) const {
  if (total_ <= 0) return fmt::format(" {} {}s", done_, unit_);
  if (!with_words) return fmt::format(" {}/{}", done_, total_);
  const double percent = 100 * static_cast<double>(done_) / static_cast<double>(total_);
  return fmt::format(" {:3.0f}%  {}/{} {}s", std::floor(percent), done_, total_, unit_);
}

std::string Progress::time_left(double now, bool last) const {
  if (last) return human_seconds(now - start_);
  const double speed = rate(now);
  if (total_ <= 0 || speed <= 0) return "";
  return human_seconds(static_cast<double>(std::max<int64_t>(total_ - done_, 0)) / speed);
}

std::string Progress::live_line(double now, bool last) const {
  std::vector<std::string> parts;  // what matters most comes first
  if (const std::string time = time_left(now, last); !time.empty()) {
    parts.push_back(fmt::format("  {} {}", last ? "in" : "ETA", time));
  }
  for (const ProgressField& field : fields_) {
    parts.push_back(fmt::format("  {} {}", field.name, field.value));
  }
  if (const std::string speed = rate_text(rate(now), unit_); !speed.empty()) {
    parts.push_back("  " + speed);
  }
  // One column stays free: some terminals wrap when the last one is written.
  const int width = sink_.width() - 1 - columns_of(title_) - 1;
  const int narrowest = total_ > 0 ? kNarrowestBar : 0;
  std::string text = count_text(true);
  for (const std::string& part : parts) text += part;
  if (columns_of(text) + narrowest > width) {
    text = count_text(false);
    for (const std::string& part : parts) {
      if (columns_of(text) + columns_of(part) + narrowest > width) break;
      text += part;
    }
  }
  const int room = width - columns_of(text);
  if (total_ <= 0 || room < kNarrowestBar) return cut(title_ + text, sink_.width() - 1);
  return title_ + " " + bar(std::min(room, kWidestBar)) + text;
}

std::string Progress::plain_line(double now, bool last) const {
  std::string text = fmt::format("{} {}={}", title_, unit_, done_);
  if (total_ > 0) text += fmt::format("/{}", total_);
  for (const ProgressField& field : fields_) text += fmt::format(" {}={}", field.name, field.value);
  if (const double speed = rate(now); speed > 0) {
    text += fmt::format(" {}s_per_s={:.4g}", unit_, speed);
  }
  std::string time = time_left(now, last);
  std::erase(time, ' ');
  if (!time.empty()) text += fmt::format(" {}={}", last ? "took" : "left", time);
  return text;
}

}  // namespace ashlar
