#include "ashlar/base/env.h"

#include <cstdlib>

namespace ashlar {

std::optional<std::string> env(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

}  // namespace ashlar
