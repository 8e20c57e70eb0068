// Errors. Whatever a user can cause throws ashlar::Error with one clear line: what, where, the
// value found, the value wanted, the fix. ASHLAR_CHECK guards user-reachable conditions in every
// build; ASHLAR_DCHECK guards conditions only we can break and vanishes in release builds.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace ashlar {

// A failure a user can cause and mend. The command line prints it and exits with exit_code().
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, int exit_code = 1)
      : std::runtime_error(message), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

// A wrong command line, config key or flag: exit code 2.
class UsageError : public Error {
 public:
  explicit UsageError(const std::string& message) : Error(message, 2) {}
};

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
[[noreturn]] void fail_usage(fmt::format_string<Args...> format, Args&&... args) {
  throw UsageError(fmt::format(format, std::forward<Args>(args)...));
}

// Prints the failed condition and its place, then aborts: an invariant of ours is broken.
[[noreturn]] void dcheck_failed(const char* condition, const char* file, int line);

}  // namespace ashlar

#define ASHLAR_CHECK(condition, ...) \
  do {                               \
    if (!(condition)) [[unlikely]]   \
      ::ashlar::fail(__VA_ARGS__);   \
  } while (false)

#ifdef NDEBUG
#define ASHLAR_DCHECK(condition) \
  do {                           \
    (void)sizeof(condition);     \
  } while (false)
#else
#define ASHLAR_DCHECK(condition)                               \
  do {                                                         \
    if (!(condition)) [[unlikely]]                             \
      ::ashlar::dcheck_failed(#condition, __FILE__, __LINE__); \
  } while (false)
#endif
