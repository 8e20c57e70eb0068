#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/bundle/model_path.h"
#include "ashlar/cli/golden.h"
#include "ashlar/cli/verbs.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace ashlar::cli {
namespace {

using Status = SectionResult::Status;

constexpr int kNothingChecked = 2;

int exit_code(const std::vector<SectionResult>& sections) {
  const auto any = [&](Status status) {
    return std::ranges::any_of(sections,
                               [status](const SectionResult& s) { return s.status == status; });
  };
  return any(Status::kFailed) ? 1 : any(Status::kPassed) ? 0 : kNothingChecked;
}

struct Verify {
  static constexpr const char* kName = "verify";
  static constexpr const char* kHelp = "Run the self-test that came with a model (golden.json)";
  static constexpr const char* kGroup = kModelGroup;
  ModelFlags model;
  MachineFlags machine;
  bool json = false;

  void add_flags(CLI::App& app) {
    app.add_option("MODEL", model.model, "Model directory with a golden.json")
        ->required()
        ->option_text(" ");
    add_json_flag(app, json);
    machine.add_to(app);
    app.footer(
        "Exit code 0: all that was checked passed; 1: something failed; 2: nothing was "
        "checked.");
  }

  int run() {
    machine.resolve();
    bundle::Bundle opened = bundle::Bundle::open(model.model);
    model.model = opened.path();
    if (!is_file(bundle::beside_model(model.model, "golden.json"))) {
      if (json) print_result(as_json({}, kNothingChecked));
      throw Error(fmt::format("model {}: no golden.json, so there is nothing to check; "
                              "docs/verify.md says how to make one",
                              opened.path()),
                  kNothingChecked);
    }
    const std::vector<SectionResult> sections = run_golden(std::move(opened), model, machine);
    const int code = exit_code(sections);
    print_result(json ? as_json(sections, code) : as_table(sections, code));
    return code;
  }

  std::string as_json(const std::vector<SectionResult>& sections, int code) const {
    nlohmann::ordered_json result{{"model", model.model},
                                  {"passed", code == 0},
                                  {"sections", nlohmann::ordered_json::object()}};
    for (const SectionResult& section : sections) {
      result["sections"][section.name] = {
          {"status", section.status == Status::kFailed ? "failed" : name(section.status)},
          {"checks", section.checks},
          {"failed", section.failed},
          {"detail", section.detail}};
    }
    return result.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  }

  static std::string as_table(const std::vector<SectionResult>& sections, int code) {
    std::string text =
        fmt::format("{:<11}{:<9}{:>7}{:>8}  detail", "section", "result", "checks", "failed");
    for (const SectionResult& section : sections) {
      text += fmt::format("\n{:<11}{:<9}{:>7}{:>8}  {}", section.name, name(section.status),
                          section.checks, section.failed, section.detail);
    }
    text += code == 0   ? "\nAll that was checked passed."
            : code == 1 ? "\nThe model does not compute here what it computed where it was made."
                        : "\nNothing was checked.";
    return text;
  }
};

}  // namespace

void add_verify(CLI::App& app, Action& action) { add_verb<Verify>(app, action); }

}  // namespace ashlar::cli
