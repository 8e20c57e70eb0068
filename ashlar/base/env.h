// The one place that reads environment variables.
#pragma once

#include <optional>
#include <string>

namespace ashlar {

std::optional<std::string> env(const char* name);  // nullopt when unset or empty

}  // namespace ashlar
