#include "ashlar/cli/app.h"

#include "ashlar/base/error.h"
#include "ashlar/base/log.h"
#include "ashlar/base/version.h"
#include "ashlar/cli/interrupt.h"
#include "ashlar/cli/verb.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>
#include <new>
#include <string>

namespace ashlar::cli {
namespace {

constexpr const char* kFooter =
    "MODEL is a Hugging Face directory: config.json, safetensors, tokenizer.json.\n"
    "Where a verb has --json, stdout is exactly one JSON object; all else goes to stderr.\n"
    "\n"
    "Exit codes: 0 done; 1 failed; 2 wrong command line or configuration; 130 interrupted.\n"
    "Environment: ASHLAR_ISA, ASHLAR_THREADS, ASHLAR_LOG stand for --isa, --threads, --log-level;\n"
    "ASHLAR_TRAIN_LR for train.lr, and so on; ASHLAR_SERVE_PORT for serve --port.\n"
    "\n"
    "`ashlar VERB --help` explains a verb.";

// One line whatever the message holds: what scripts and people both read.
int complain(const std::string& message, int exit_code) {
  std::fprintf(stderr, "ashlar: %s\n", message.c_str());
  return exit_code;
}

int dispatch(int argc, char** argv) {
  CLI::App app("Ashlar trains and serves foundation models.", "ashlar");
  app.set_version_flag("--version", std::string(version()));
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);

  Action action;
  add_verbs(app, action);
  app.footer(kFooter);  // after the verbs, which would take it over
  if (argc == 1) {
    std::fputs(app.help().c_str(), stderr);
    return 2;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    std::string hint = "ashlar --help";
    for (const CLI::App* used : app.get_subcommands()) {
      hint = "ashlar " + used->get_name() + " --help";
    }
    return complain(std::string(error.what()) + " (see " + hint + ")", 2);
  }
  return action();
}

}  // namespace

int run_program(int argc, char** argv) {
  try {
    log::init("info");
    exit_on_interrupt();
    return dispatch(argc, argv);
  } catch (const Error& error) {
    return complain(error.what(), error.exit_code());
  } catch (const std::bad_alloc&) {
    return complain("out of memory: use a smaller batch, sequence or model", 1);
  } catch (const std::exception& error) {
    return complain(error.what(), 1);
  }
}

}  // namespace ashlar::cli
