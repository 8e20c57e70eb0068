#include "ashlar/base/log.h"

#include "ashlar/base/error.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <memory>
#include <string>
#include <utility>

namespace ashlar::log {
namespace {

thread_local bool quiet = false;

// There is one screen.
LiveLine*& live_line() {
  static LiveLine* line = nullptr;
  return line;
}

// Takes the live line away for the moment in which a log line is written.
class ScreenSink : public spdlog::sinks::sink {
 public:
  void log(const spdlog::details::log_msg& message) override {
    if (quiet && message.level < spdlog::level::warn) return;
    std::lock_guard lock(screen_mutex());
    if (live_line() != nullptr) live_line()->hide();
    stderr_.log(message);
    if (live_line() != nullptr) live_line()->show();
  }
  void flush() override { stderr_.flush(); }
  void set_pattern(const std::string& pattern) override { stderr_.set_pattern(pattern); }
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override {
    stderr_.set_formatter(std::move(formatter));
  }

 private:
  spdlog::sinks::stderr_color_sink_mt stderr_;
};

}  // namespace

std::mutex& screen_mutex() {
  static std::mutex mutex;
  return mutex;
}

void quiet_this_thread() { quiet = true; }

void set_live_line(LiveLine* line) { live_line() = line; }

void init(std::string_view level, int rank) {
  const std::string text(level);
  const auto parsed = spdlog::level::from_str(text);
  if (parsed == spdlog::level::off && text != "off") {
    fail_usage("log level '{}' is not one of debug, info, warn, error, off", level);
  }
  auto logger = std::make_shared<spdlog::logger>("ashlar", std::make_shared<ScreenSink>());
  logger->set_pattern(rank < 0 ? "%H:%M:%S.%e %^%L%$ %v"
                               : fmt::format("rank={} %H:%M:%S.%e %^%L%$ %v", rank));
  logger->set_level(parsed);
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace ashlar::log
