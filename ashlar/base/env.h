// The one place that reads environment variables and the machine's name.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar {

std::optional<std::string> env(const char* name);  // nullopt when unset or empty

// Names of the variables that are set and begin so, sorted.
std::vector<std::string> env_names(std::string_view prefix);

// As other machines know this one; "localhost" where the system does not say.
std::string host_name();

}  // namespace ashlar
