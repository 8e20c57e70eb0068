#include "ashlar/cli/standard_input.h"

#include "ashlar/base/error.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace ashlar::cli {

std::string read_standard_input() {
  std::string text;
  std::array<char, 1 << 16> buffer;
  while (const size_t bytes = std::fread(buffer.data(), 1, buffer.size(), stdin)) {
    text.append(buffer.data(), bytes);
  }
  ASHLAR_CHECK(std::ferror(stdin) == 0, "standard input: {}", std::strerror(errno));
  return text;
}

}  // namespace ashlar::cli
