#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/cli/flag_checks.h"
#include "ashlar/cli/verbs.h"
#include "ashlar/schedule/check.h"
#include "ashlar/schedule/generators.h"
#include "ashlar/schedule/play.h"
#include "ashlar/schedule/svg.h"
#include "ashlar/schedule/text.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>

namespace ashlar::cli {
namespace {

struct Simulate {
  static constexpr const char* kName = "simulate";
  static constexpr const char* kHelp = "Play a pipeline schedule on simulated time";
  static constexpr const char* kGroup = kTrainGroup;
  std::string schedule, svg;
  int ranks = 4, microbatches = 8, chunks = 2, waves = 1;
  double forward = 1, backward = 1, weight = 1;
  bool json = false;

  void add_flags(CLI::App& app) {
    app.add_option("SCHEDULE", schedule,
                   "gpipe, 1f1b, interleaved, zb-h1, zb-h2, zb-v, v-half, v-min, chimera, hanayo, "
                   "or a file that lists one (docs/add-a-schedule.md)")
        ->option_text(" ")
        ->required();
    const auto count = [&](const char* flag, int& value, const char* help, const char* text) {
      app.add_option(flag, value, help)->check(positive())->option_text(text);
    };
    count("--ranks", ranks, "Ranks of the pipeline", "P=4");
    count("--microbatches", microbatches, "Microbatches of a step", "M=8");
    count("--chunks", chunks, "Stages a rank, of interleaved", "V=2");
    count("--waves", waves, "Waves, of hanayo", "W=1");
    const auto time = [&](const char* flag, double& value, const char* help) {
      app.add_option(flag, value, help)->check(CLI::NonNegativeNumber)->option_text("T=1");
    };
    time("--f", forward, "Time of a stage's forward, of one microbatch of the whole rank");
    time("--b", backward, "Time of its input gradients");
    time("--w", weight, "Time of its weight gradients");
    app.add_option("--svg", svg, "Draw what each rank does when")->option_text("FILE");
    add_json_flag(app, json);
  }

  int run() const {
    const schedule::Schedule played = open();
    schedule::check(played);
    // A rank's share of the model is one unit, however many stages it is cut into.
    const double held = played.stages.stages() / static_cast<double>(played.stages.ranks());
    const schedule::Timeline timeline =
        schedule::play(played, schedule::uniform_costs(played, {.forward = forward / held,
                                                                .backward = backward / held,
                                                                .weight = weight / held}));
    if (!svg.empty()) {
      write_file(svg, schedule::to_svg(played, timeline, {.title = "", .unit = "units"}),
                 "simulate");
    }
    print_result(json ? as_json(played, timeline) : as_text(played, timeline));
    return 0;
  }

  schedule::Schedule open() const {
    if (is_file(schedule)) return schedule::parse(read_file(schedule), schedule);
    return schedule::generate(schedule, {ranks, microbatches, chunks, waves});
  }

  static std::string as_text(const schedule::Schedule& played, const schedule::Timeline& timeline) {
    std::string text = schedule::str(played);
    if (!text.ends_with('\n')) text += '\n';
    text += fmt::format(
        "\nmakespan {:.6g}, bubble {:.2f}% of all time, {:.2f}% of the work; a rank idles {:.6g} "
        "at "
        "most\nmicrobatches held at most:",
        timeline.makespan, 100 * timeline.bubble(), 100 * timeline.bubble_over_ideal(),
        timeline.idle());
    for (const schedule::RankTimeline& rank : timeline.ranks) {
      text += fmt::format(" {:.4g}", rank.peak_microbatches);
    }
    return text;
  }

  static std::string as_json(const schedule::Schedule& played, const schedule::Timeline& timeline) {
    nlohmann::ordered_json peaks = nlohmann::ordered_json::array();
    for (const schedule::RankTimeline& rank : timeline.ranks) {
      peaks.push_back(rank.peak_microbatches);
    }
    return nlohmann::ordered_json{{"schedule", played.name},
                                  {"ranks", played.stages.ranks()},
                                  {"stages", played.stages.stages()},
                                  {"microbatches", played.microbatches},
                                  {"makespan", timeline.makespan},
                                  {"bubble", timeline.bubble()},
                                  {"bubble_over_ideal", timeline.bubble_over_ideal()},
                                  {"idle", timeline.idle()},
                                  {"peak_microbatches", peaks},
                                  {"text", schedule::str(played)}}
        .dump();
  }
};

}  // namespace

void add_simulate(CLI::App& app, Action& action) { add_verb<Simulate>(app, action); }

}  // namespace ashlar::cli
