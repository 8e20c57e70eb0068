// Every verb's way into the program; a verb that is added gets a line here and one in verbs.cc.
#pragma once

#include "ashlar/cli/verb.h"

namespace ashlar::cli {

void add_tokenize(CLI::App& app, Action& action);
void add_train(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_simulate(CLI::App& app, Action& action);
void add_eval(CLI::App& app, Action& action);
void add_report(CLI::App& app, Action& action);
void add_run(CLI::App& app, Action& action);
void add_chat(CLI::App& app, Action& action);
void add_serve(CLI::App& app, Action& action);
void add_convert(CLI::App& app, Action& action);
void add_embed(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_logits(CLI::App& app, Action& action);
void add_verify(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);
void add_version(CLI::App& app, Action& action);

}  // namespace ashlar::cli
