// Every verb's way into the program, in the order --help lists them within their groups.
#pragma once

#include "ashlar/cli/verb.h"

namespace ashlar::cli {

void add_tokenize(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);
void add_version(CLI::App& app, Action& action);

}  // namespace ashlar::cli
