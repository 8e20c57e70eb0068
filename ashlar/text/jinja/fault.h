// A failure inside a template that does not yet know where it happened. The evaluator catches it at
// the node it was evaluating and throws ashlar::Error with file, line and column in front.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

namespace ashlar::text::jinja {

class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <typename... Args>
[[noreturn]] void fault(fmt::format_string<Args...> format, Args&&... args) {
  throw Fault(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace ashlar::text::jinja
