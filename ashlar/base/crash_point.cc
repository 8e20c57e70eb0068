#include "ashlar/base/crash_point.h"

#include "ashlar/base/env.h"
#include "ashlar/base/error.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

namespace ashlar {
namespace {

int64_t parse_count(std::string_view text, std::string_view whole) {
  int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < 1) {
    fail_usage("ASHLAR_CRASH_AT: '{}' is not N, NAME or NAME#N with N from 1", whole);
  }
  return count;
}

class CrashPoints {
 public:
  CrashPoints() {
    if (const auto at = env("ASHLAR_CRASH_AT")) {
      const size_t hash = at->find('#');
      if (at->find_first_not_of("0123456789") == std::string::npos) {
        countdown_ = parse_count(*at, *at);
      } else {
        name_ = at->substr(0, hash);
        countdown_ = hash == std::string::npos ? 1 : parse_count(at->substr(hash + 1), *at);
      }
    }
    if (const auto list = env("ASHLAR_CRASH_LIST")) {
      list_ = ::open(list->c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
      ASHLAR_CHECK(list_ >= 0, "ASHLAR_CRASH_LIST: cannot open {}", *list);
    }
    on_ = countdown_ > 0 || list_ >= 0;
  }
  ~CrashPoints() {
    if (list_ >= 0) ::close(list_);
  }
  CrashPoints(const CrashPoints&) = delete;
  CrashPoints& operator=(const CrashPoints&) = delete;

  void pass(std::string_view label, std::string_view step) {
    if (!on_) return;
    const std::string line = fmt::format("{}.{}\n", label, step);
    const std::string_view name = std::string_view(line).substr(0, line.size() - 1);
    std::lock_guard lock(mutex_);
    if (list_ >= 0 && ::write(list_, line.data(), line.size()) < 0) {
      fail("ASHLAR_CRASH_LIST: cannot write");
    }
    if (countdown_ == 0 || (!name_.empty() && name != name_)) return;
    if (--countdown_ == 0) ::kill(::getpid(), SIGKILL);
  }

 private:
  bool on_ = false;
  int64_t countdown_ = 0;  // points to pass until death; 0: live on
  std::string name_;       // counts only these; empty: all
  int list_ = -1;
  std::mutex mutex_;
};

std::unique_ptr<CrashPoints>& points() {
  static auto instance = std::make_unique<CrashPoints>();
  return instance;
}

}  // namespace

void crash_point(std::string_view label, std::string_view step) { points()->pass(label, step); }

void reload_crash_points() { points() = std::make_unique<CrashPoints>(); }

}  // namespace ashlar
