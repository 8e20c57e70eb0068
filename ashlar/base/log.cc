#include "ashlar/base/log.h"

#include "ashlar/base/error.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <string>

namespace ashlar::log {

void init(std::string_view level, int rank) {
  const std::string text(level);
  const auto parsed = spdlog::level::from_str(text);
  if (parsed == spdlog::level::off && text != "off") {
    fail_usage("log level '{}' is not one of debug, info, warn, error, off", level);
  }
  auto logger = std::make_shared<spdlog::logger>(
      "ashlar", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern(rank < 0 ? "%H:%M:%S.%e %^%L%$ %v"
                               : fmt::format("rank={} %H:%M:%S.%e %^%L%$ %v", rank));
  logger->set_level(parsed);
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace ashlar::log
