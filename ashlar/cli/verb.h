// What the verbs share: how one is added to the program, and the flags that mean the same in each.
#pragma once

#include "ashlar/base/isa_tier.h"

#include <CLI/CLI.hpp>

#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace ashlar::cli {

// What the command line asked for; returns the exit code.
using Action = std::function<int()>;

// Groups of verbs, as --help shows them.
inline constexpr const char* kTrainGroup = "Train";
inline constexpr const char* kServeGroup = "Use and serve";
inline constexpr const char* kModelGroup = "Look into a model";
inline constexpr const char* kMachineGroup = "This machine";

// A verb is a struct of its flags with
//   static constexpr const char *kName, *kHelp, *kGroup;
//   void add_flags(CLI::App& app);
//   int run();
template <typename Verb>
CLI::App* add_verb(CLI::App& app, Action& action) {
  CLI::App* const added = app.add_subcommand(Verb::kName, Verb::kHelp);
  added->group(Verb::kGroup);
  const auto verb = std::make_shared<Verb>();
  verb->add_flags(*added);
  added->callback([verb, &action] { action = [verb] { return verb->run(); }; });
  return added;
}

// --isa, --threads, --pin, --log-level.
struct MachineFlags {
  std::string isa;
  int threads = 0;
  bool pin = false;
  std::string log_level;

  void add_to(CLI::App& app);
  // Sets the log's level and the tier and thread count to use. Throws UsageError for a tier that
  // cannot run here.
  void resolve();

  IsaTier tier = IsaTier::kScalar;  // after resolve()
};

// --json.
void add_json_flag(CLI::App& app, bool& json);
// One JSON object (already text) and a line break, on stdout. Throws Error where it cannot be
// written: a result that is lost is a failure.
void print_result(const std::string& text);

// One line of JSON. Bytes that are not UTF-8, as a path may have them, become U+FFFD.
template <typename Json>
std::string json_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The verbs; one file each.
void add_verbs(CLI::App& app, Action& action);

}  // namespace ashlar::cli
