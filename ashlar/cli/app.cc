#include "ashlar/cli/app.h"

#include "ashlar/base/edit_distance.h"
#include "ashlar/base/error.h"
#include "ashlar/base/log.h"
#include "ashlar/base/shown_text.h"
#include "ashlar/base/version.h"
#include "ashlar/cli/interrupt.h"
#include "ashlar/cli/verb.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

namespace ashlar::cli {
namespace {

constexpr const char* kFooter =
    "MODEL is a Hugging Face directory, a GGUF file, or the name of one in the Hugging Face "
    "cache.\n"
    "Where a verb has --json, stdout is exactly one JSON object; all else goes to stderr.\n"
    "\n"
    "Exit codes: 0 done; 1 failed; 2 wrong command line or configuration; 130 interrupted.\n"
    "Environment: ASHLAR_ISA, ASHLAR_THREADS, ASHLAR_LOG stand for --isa, --threads, --log-level;\n"
    "ASHLAR_TRAIN_LR for train.lr, and so on; ASHLAR_SERVE_PORT for serve --port.\n"
    "\n"
    "`ashlar VERB --help` explains a verb.";

// One line whatever the message holds: what scripts and people both read.
int complain(const std::string& message, int exit_code) {
  std::fprintf(stderr, "ashlar: %s\n", on_one_line(message, kShownMessage).c_str());
  return exit_code;
}

// CLI11's own words, but for a flag or verb that is unknown: with the nearest one that there is.
std::string what_is_wrong(const CLI::ParseError& error, const CLI::App& verb) {
  std::vector<std::string> flags, verbs;
  for (const CLI::Option* option : verb.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  for (const CLI::App* part : verb.get_subcommands({})) verbs.push_back(part->get_name());
  for (const std::string& word : verb.remaining()) {
    const bool flag = word.starts_with("-");
    if (!flag && verbs.empty()) continue;
    const std::string name = word.substr(0, word.find('='));
    const auto near = nearest(name, flag ? flags : verbs);
    return fmt::format("unknown {} {}{}", flag ? "flag" : "verb", name,
                       near ? fmt::format("; did you mean {}?", *near) : "");
  }
  return error.what();
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
    const CLI::App* used = &app;
    std::string verb = "ashlar";
    while (!used->get_subcommands().empty()) {
      used = used->get_subcommands().front();
      verb += " " + used->get_name();
    }
    return complain(fmt::format("{} (see {} --help)", what_is_wrong(error, *used), verb), 2);
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
