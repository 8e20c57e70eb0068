#include "ashlar/cli/app.h"

int main(int argc, char** argv) { return ashlar::cli::run_program(argc, argv); }
