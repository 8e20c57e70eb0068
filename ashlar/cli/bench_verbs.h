// The parts of `ashlar bench` that measure a model.
#pragma once

#include "ashlar/cli/verb.h"

namespace ashlar::cli {

void add_bench_train(CLI::App& app, Action& action);
void add_bench_infer(CLI::App& app, Action& action);
void add_bench_ops(CLI::App& app, Action& action);

}  // namespace ashlar::cli
