// Runs a program as a user would and returns all that it printed.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ashlar::testing {

struct ProgramOptions {
  std::vector<std::pair<std::string, std::string>> env =
      {};  // besides the test's own; "" removes one
  std::string stdin_text = "";
  std::string folder = ".";
  double timeout_s = 300;  // then it is killed; not for a machine under load
};

struct ProgramResult {
  int exit_code = -1;  // -1: ended by a signal
  int signal = 0;
  bool timed_out = false;
  std::string out, err;
};

// arguments[0] is the program, found as in a shell. Throws Error if it cannot be started.
ProgramResult run_program(const std::vector<std::string>& arguments,
                          const ProgramOptions& options = {});

}  // namespace ashlar::testing
