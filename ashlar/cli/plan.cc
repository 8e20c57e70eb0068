#include "ashlar/base/atomic_file.h"
#include "ashlar/base/clock.h"
#include "ashlar/base/config.h"
#include "ashlar/base/error.h"
#include "ashlar/cli/plan_text.h"
#include "ashlar/cli/train_settings.h"
#include "ashlar/cli/verbs.h"
#include "ashlar/plan/machine_rates.h"
#include "ashlar/plan/measured_ops.h"
#include "ashlar/plan/placement_svg.h"
#include "ashlar/schedule/svg.h"
#include "ashlar/train/model_source.h"
#include "ashlar/train/ranks.h"
#include "ashlar/train/run_plan.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

namespace ashlar::cli {
namespace {

struct Plan {
  static constexpr const char* kName = "plan";
  static constexpr const char* kHelp = "Say what a training run will take, before it starts";
  static constexpr const char* kGroup = kTrainGroup;
  MachineFlags machine;
  std::vector<std::string> words;
  std::string svg, pattern;
  CLI::Option* placements = nullptr;
  bool json = false;

  void add_flags(CLI::App& app) {
    app.add_option("SETTINGS", words, "What ashlar train is given: a config.toml, then key=value")
        ->option_text(" ");
    placements = app.add_option("--placements", pattern,
                                "Show instead how Variables lie on the mesh, the tokens of a batch "
                                "and what forward computes: those of these names (* stands for "
                                "anything), or all")
                     ->option_text("[NAME,...]")
                     ->expected(0, 1);
    app.add_option("--svg", svg, "Draw the schedule on the predicted time, or the placements")
        ->option_text("FILE");
    add_json_flag(app, json);
    machine.add_to(app);
  }

  int run() {
    train::TrainConfig config;
    ConfigTable table(config);
    load_settings(kName, words, table);
    if (machine.threads > 0) table.set("run.threads", std::to_string(machine.threads));
    table.check();
    machine.resolve();
    if (config.run.threads == 0) config.run.threads = machine.threads;
    config.validate_training();
    const kernels::KernelTable& kernels = kernels::kernel_table(machine.tier);
    if (placements->count() > 0) return show_placements(config, kernels);

    const models::DecoderConfig model = train::model_config(config);
    train::check_layout(config, model);  // before the machine is measured
    const SteadyClock clock;
    const plan::RankWork work = train::rank_work(config, model);
    const plan::MachineRates rates = plan::measure_rates(work, kernels, clock);
    plan::MeasuredOps timer(work.ranks, work.threads, kernels, clock);
    const train::RunPlan planned = train::plan_run(config, kernels, {rates, &timer});
    if (!svg.empty()) {
      write_file(
          svg,
          schedule::to_svg(
              planned.schedule, planned.timeline,
              {.title = "A step on " + planned.mesh.str(), .unit = "ms", .unit_seconds = 1e-3}),
          "plan");
    }
    print_result(json ? plan_json(planned, rates) : plan_text(planned, rates));
    planned.check_memory(config.run.memory);
    return 0;
  }

  int show_placements(const train::TrainConfig& config, const kernels::KernelTable& kernels) const {
    const train::RunPlan planned = train::plan_run(config, kernels);
    std::vector<train::PlannedValue> values = planned.variables;
    std::ranges::move(train::planned_activations(config), std::back_inserter(values));
    values = matching(values, pattern.empty() ? "*" : pattern);
    if (!svg.empty()) {
      std::vector<plan::DrawnPlacement> drawn;
      for (const train::PlannedValue& value : values) {
        drawn.push_back(
            {value.name, value.placement, value.whole, value.parts, value.op, value.term});
      }
      write_file(svg, plan::placements_svg(planned.mesh, drawn), "plan");
    }
    print_result(json ? placements_json(planned, values) : placements_text(planned, values));
    return 0;
  }
};

}  // namespace

void add_plan(CLI::App& app, Action& action) { add_verb<Plan>(app, action); }

}  // namespace ashlar::cli
