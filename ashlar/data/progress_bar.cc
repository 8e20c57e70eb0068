#include "ashlar/data/progress_bar.h"

#include "ashlar/base/human.h"
#include "ashlar/base/log.h"

#include <fmt/format.h>

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace ashlar::data {
namespace {

constexpr double kRedraw = 0.2;  // seconds
constexpr double kLogEvery = 10;
constexpr int kWidth = 20;

}  // namespace

ProgressBar::ProgressBar(std::string what, const Clock& clock, bool terminal)
    : what_(std::move(what)),
      clock_(clock),
      terminal_(terminal),
      start_(clock.now()),
      shown_(start_) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::fputs("\n", stderr);
}

std::string ProgressBar::text(const EncodeProgress& progress, double seconds) {
  const double done = static_cast<double>(progress.bytes_done);
  const double all = static_cast<double>(progress.bytes);
  const double share = all > 0 ? done / all : 1;
  const int filled = static_cast<int>(share * kWidth);
  std::string text = fmt::format(
      "[{}{}] {:3.0f}%  {} of {}  {} tokens", std::string(static_cast<size_t>(filled), '#'),
      std::string(static_cast<size_t>(kWidth - filled), '.'), share * 100, human_bytes(done),
      human_bytes(all), human_count(static_cast<double>(progress.tokens)));
  if (seconds > 0 && done > 0) {
    text += fmt::format("  {}/s  {} left", human_bytes(done / seconds),
                        human_seconds((all - done) / done * seconds));
  }
  return text;
}

void ProgressBar::show(const EncodeProgress& progress) {
  const double now = clock_.now();
  const bool finished = progress.bytes_done == progress.bytes;
  if (now - shown_ < (terminal_ ? kRedraw : kLogEvery) && !(finished && drawn_)) return;
  shown_ = now;
  if (terminal_) {
    std::fputs(fmt::format("\r\033[K{} {}", what_, text(progress, now - start_)).c_str(), stderr);
    drawn_ = true;
  } else {
    log::info("event=encode source={} bytes={} of={} tokens={}", what_, progress.bytes_done,
              progress.bytes, progress.tokens);
  }
}

bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

}  // namespace ashlar::data
