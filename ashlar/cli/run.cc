#include "ashlar/base/error.h"
#include "ashlar/base/log.h"
#include "ashlar/cli/interrupt.h"
#include "ashlar/cli/sampling_flags.h"
#include "ashlar/cli/show_text.h"
#include "ashlar/cli/standard_input.h"
#include "ashlar/cli/text_model.h"
#include "ashlar/cli/token_ids.h"
#include "ashlar/cli/verbs.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::cli {
namespace {

std::string_view name(generate::StopReason reason) {
  switch (reason) {
    case generate::StopReason::kEndToken:
    case generate::StopReason::kStopString:
      return "stop";
    case generate::StopReason::kLength:
      return "length";
    case generate::StopReason::kCancelled:
      return "cancelled";
  }
  return "";
}

// Fewer tokens than were asked for and no end among them: the context is full.
void note_full_context(const generate::Generated& result, int64_t asked) {
  const auto written = std::ssize(result.ids);
  if (result.reason != generate::StopReason::kLength || written >= asked) return;
  log::warn(
      "event=context_full new_tokens={} asked={} fix=\"lower --max-new or shorten the prompt\"",
      written, asked);
}

struct Run {
  static constexpr const char* kName = "run";
  static constexpr const char* kHelp = "Continue a text";
  static constexpr const char* kGroup = kServeGroup;
  ModelFlags model;
  SamplingFlags sampling;
  MachineFlags machine;
  std::string prompt, ids;
  bool ignore_eos = false, json = false;

  void add_flags(CLI::App& app) {
    model.add_to(app);
    app.add_option("PROMPT", prompt, "Text to go on from; - reads standard input")
        ->option_text(" ");
    app.add_option("--ids", ids, "Token ids to go on from, as in 1,2,3; prints ids")
        ->excludes("PROMPT")
        ->option_text("IDS");
    app.add_flag("--ignore-eos", ignore_eos, "Go on past an end token (--ids always does)");
    add_json_flag(app, json);
    sampling.add_to(app);
    machine.add_to(app);
  }

  int run() {
    machine.log_level = machine.log_level.empty() ? "warn" : machine.log_level;
    machine.resolve();
    if (prompt.empty() && ids.empty()) {
      fail_usage("run: nothing to go on from; give a PROMPT (- for standard input) or --ids");
    }
    TextModel opened(model, machine);
    bundle::note_unread(opened.bundle().generation(), opened.bundle().path());
    return ids.empty() ? continue_text(opened) : continue_ids(opened);
  }

  int continue_ids(TextModel& opened) {
    const std::vector<int32_t> tokens = parse_token_ids(ids, "--ids");
    check_token_ids(tokens, opened.bundle().config().vocab);
    generate::GenerateOptions options = sampling.resolve(opened.bundle().generation());
    options.ignore_end_tokens = true;
    const InterruptFlag interrupt;
    const generate::Generated result = opened.generator().generate(
        tokens, options, [&](int32_t, const std::string&) { return !interrupt.raised(); });
    note_full_context(result, sampling.max_new);
    print_result(json ? nlohmann::json{{"ids", result.ids}}.dump()
                      : fmt::format("{}", fmt::join(result.ids, " ")));
    return interrupt.raised() ? kInterrupted : 0;
  }

  int continue_text(TextModel& opened) {
    const std::vector<int32_t> tokens =
        opened.encode(prompt == "-" ? read_standard_input() : prompt, true);
    generate::GenerateOptions options = sampling.resolve(opened.bundle().generation());
    options.ignore_end_tokens = ignore_eos;
    const InterruptFlag interrupt;
    const generate::Generated result =
        opened.generator().generate(tokens, options, [&](int32_t, const std::string& text) {
          if (!json) show_text(text);
          return !interrupt.raised();
        });
    if (json) {
      print_result(nlohmann::ordered_json{{"text", result.text},
                                          {"ids", result.ids},
                                          {"prompt_tokens", tokens.size()},
                                          {"finish_reason", name(result.reason)},
                                          {"seed", options.sampling.seed}}
                       .dump());
    } else {
      print_result("");
    }
    note_full_context(result, sampling.max_new);
    return interrupt.raised() ? kInterrupted : 0;
  }
};

}  // namespace

void add_run(CLI::App& app, Action& action) { add_verb<Run>(app, action); }

}  // namespace ashlar::cli
