// Log lines on stderr: one event a line, `key=value`, the rank first in a job of several ranks.
// Levels: debug, info, warn, error (ASHLAR_LOG or --log-level). stdout belongs to results.
#pragma once

#include <spdlog/spdlog.h>

#include <string_view>

namespace ashlar::log {

// Once at start, from the command line. rank < 0: a job of one process.
void init(std::string_view level, int rank = -1);

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

}  // namespace ashlar::log
