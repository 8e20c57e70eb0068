#include "ashlar/base/version.h"

#include "ashlar/cli/verbs.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <string>

namespace ashlar::cli {
namespace {

struct Version {
  static constexpr const char* kName = "version";
  static constexpr const char* kHelp = "Print version, revision and compiler";
  static constexpr const char* kGroup = kMachineGroup;
  bool json = false;

  void add_flags(CLI::App& app) { add_json_flag(app, json); }

  int run() const {
    const std::string compiler = "GCC " __VERSION__;
    if (json) {
      print_result(nlohmann::ordered_json{
          {"version", version()}, {"revision", revision()}, {"compiler", compiler}}
                       .dump());
    } else {
      print_result(fmt::format("ashlar {}{}, {}", version(),
                               revision().empty() ? "" : fmt::format(" ({})", revision()),
                               compiler));
    }
    return 0;
  }
};

}  // namespace

void add_version(CLI::App& app, Action& action) { add_verb<Version>(app, action); }

}  // namespace ashlar::cli
