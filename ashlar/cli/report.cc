#include "ashlar/train/report.h"

#include "ashlar/cli/verbs.h"

#include <nlohmann/json.hpp>

#include <string>

namespace ashlar::cli {
namespace {

struct Report {
  static constexpr const char* kName = "report";
  static constexpr const char* kHelp = "Write a run's curves as one HTML page";
  static constexpr const char* kGroup = kTrainGroup;
  std::string run_dir, out;
  bool json = false;

  void add_flags(CLI::App& app) {
    app.add_option("RUN", run_dir, "Run folder")->required()->option_text(" ");
    app.add_option("--out,-o", out,
                   "File to write; .svg: the loss curve alone (default: RUN/report.html)")
        ->option_text("FILE");
    add_json_flag(app, json);
  }

  int run() const {
    const std::string path = train::write_report(run_dir, out);
    print_result(json ? json_line(nlohmann::json{{"file", path}}) : path);
    return 0;
  }
};

}  // namespace

void add_report(CLI::App& app, Action& action) { add_verb<Report>(app, action); }

}  // namespace ashlar::cli
