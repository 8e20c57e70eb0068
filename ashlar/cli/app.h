// The program: reads the command line, runs one verb and turns whatever it throws into one line on
// stderr and a documented exit code.
#pragma once

namespace ashlar::cli {

int run_program(int argc, char** argv);

}  // namespace ashlar::cli
