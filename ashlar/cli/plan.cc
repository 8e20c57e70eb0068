#include "ashlar/base/atomic_file.h"
#include "ashlar/base/clock.h"
#include "ashlar/base/config.h"
#include "ashlar/base/error.h"
#include "ashlar/cli/mpirun.h"
#include "ashlar/cli/plan_text.h"
#include "ashlar/cli/train_settings.h"
#include "ashlar/cli/verbs.h"
#include "ashlar/comm/mpi.h"
#include "ashlar/mesh/mesh.h"
#include "ashlar/plan/machine_rates.h"
#include "ashlar/plan/measured_ops.h"
#include "ashlar/plan/placement_svg.h"
#include "ashlar/schedule/svg.h"
#include "ashlar/train/model_source.h"
#include "ashlar/train/ranks.h"
#include "ashlar/train/run_plan.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <optional>
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
  std::string node_link;
  int mpi = 0;
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
    app.add_option("--node-link", node_link,
                   "Take nodes of comm.node_ranks ranks for machines like this one, with links "
                   "between them of so many bytes a second and a latency in seconds")
        ->option_text("RATE[,LATENCY]");
    app.add_option(
           "--mpi", mpi,
           "Measure messages between that many processes, started by mpirun on this machine; "
           "else between threads")
        ->option_text("N")
        ->check(CLI::PositiveNumber);
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
    const int node_ranks = node_link.empty() ? 0 : ranks_of_a_node(config);
    const sim::LinkSpec across = link_between_nodes();
    const Mesh mesh = Mesh::standard(config.mesh.sizes());
    if (mpi > 0 && !comm::launched_by_mpi()) {
      mesh.check_job(mpi);
      exec_mpirun(mpi, arguments());
    }
    const SteadyClock clock;
    std::optional<plan::MachineRates> messages;
    if (comm::launched_by_mpi()) {
      messages = messages_between_processes(mesh, clock);
      if (!messages) return 0;  // another rank goes on
    }
    plan::RankWork work = train::rank_work(config, model, node_ranks);
    plan::MeasuredOps timer(work.ranks, work.threads, kernels, clock);
    if (messages) work.ranks = 1;
    plan::MachineRates rates = plan::measure_rates(work, kernels, clock);
    if (messages) {
      rates.message_latency = messages->message_latency;
      rates.message_bytes = messages->message_bytes;
    }
    plan::PricedNetwork network;
    plan::Pricing pricing{rates, &timer};
    if (node_ranks > 0) {
      network.network = {node_ranks, {rates.message_latency, rates.message_bytes}, across};
      pricing.network = &network;
    }
    const train::RunPlan planned = train::plan_run(config, kernels, pricing);
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

  // What the first rank found; nothing on the others.
  static std::optional<plan::MachineRates> messages_between_processes(const Mesh& mesh,
                                                                      const Clock& clock) {
    std::optional<plan::MachineRates> found;
    comm::run_mpi_rank([&](comm::Communicator& comm) {
      mesh.check_job(comm.size());
      plan::MachineRates rates;
      if (comm.size() > 1) plan::measure_messages(comm, clock, rates);
      if (comm.rank() == 0) found = rates;
    });
    return found;
  }

  // This command without --mpi, for the processes it starts.
  std::vector<std::string> arguments() const {
    std::vector<std::string> result = {"plan"};
    result.insert(result.end(), words.begin(), words.end());
    if (!node_link.empty()) result.insert(result.end(), {"--node-link", node_link});
    if (!svg.empty()) result.insert(result.end(), {"--svg", svg});
    if (json) result.push_back("--json");
    if (machine.threads > 0) {
      result.insert(result.end(), {"--threads", std::to_string(machine.threads)});
    }
    if (!machine.isa.empty()) result.insert(result.end(), {"--isa", machine.isa});
    if (!machine.log_level.empty()) result.insert(result.end(), {"--log-level", machine.log_level});
    return result;
  }

  sim::LinkSpec link_between_nodes() const {
    sim::LinkSpec link;
    if (node_link.empty()) return link;
    char rest = 0;
    const int found =
        std::sscanf(node_link.c_str(), "%lf,%lf%c", &link.bandwidth, &link.latency, &rest);
    const bool whole = found == 2 || (found == 1 && node_link.find(',') == std::string::npos);
    if (!whole || !(link.bandwidth > 0) || !(link.latency >= 0)) {
      fail_usage(
          "plan --node-link: '{}' is not RATE[,LATENCY], bytes a second and seconds, as in "
          "1.25e9,5e-5",
          node_link);
    }
    return link;
  }

  static int ranks_of_a_node(const train::TrainConfig& config) {
    if (config.comm.node_ranks == 0) {
      fail_usage("plan --node-link: comm.node_ranks is 0; say how many ranks a node has");
    }
    return static_cast<int>(config.comm.node_ranks);
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
