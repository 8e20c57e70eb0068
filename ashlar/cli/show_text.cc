#include "ashlar/cli/show_text.h"

#include "ashlar/base/error.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace ashlar::cli {

// stdio drops what it has when a signal ends its write.
void show_text(std::string_view text) {
  std::fflush(stdout);
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    ASHLAR_CHECK(written >= 0, "stdout: {}", std::strerror(errno));
    text.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace ashlar::cli
