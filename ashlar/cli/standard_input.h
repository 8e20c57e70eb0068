// All of standard input, for commands that take text from a pipe.
#pragma once

#include <string>

namespace ashlar::cli {

std::string read_standard_input();

}  // namespace ashlar::cli
