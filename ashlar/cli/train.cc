#include "ashlar/base/config.h"
#include "ashlar/base/env.h"
#include "ashlar/base/error.h"
#include "ashlar/base/fault_report.h"
#include "ashlar/base/human.h"
#include "ashlar/base/log.h"
#include "ashlar/cli/interrupt.h"
#include "ashlar/cli/mpirun.h"
#include "ashlar/cli/train_settings.h"
#include "ashlar/cli/verbs.h"
#include "ashlar/comm/mpi.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/train/model_source.h"
#include "ashlar/train/ranks.h"
#include "ashlar/train/run_plan.h"
#include "ashlar/train/trainer.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::cli {
namespace {

nlohmann::json optional_number(const std::optional<double>& number) {
  return number ? nlohmann::json(*number) : nlohmann::json();
}

constexpr const char* kInterruptNote =
    "\nashlar: interrupted: saving when this step has ended; again to stop at once, unsaved\n";

struct Train {
  static constexpr const char* kName = "train";
  static constexpr const char* kHelp = "Train a model: from scratch, or from one there is";
  static constexpr const char* kGroup = kTrainGroup;
  MachineFlags machine;
  std::vector<std::string> words;
  std::string profile;
  int ranks = 0, mpi = 0;
  bool resume = false, keys = false, json = false;

  void add_flags(CLI::App& app) {
    app.add_option("SETTINGS", words, "A config.toml, then key=value over it, as in train.lr=1e-3")
        ->option_text(" ");
    app.add_flag("--resume", resume, "Go on from the run folder's newest whole checkpoint");
    app.add_option("--profile", profile, "Write a trace of a few steps, for Perfetto")
        ->option_text("FILE");
    app.add_option("--ranks", ranks, "Run as that many ranks: threads of this process")
        ->option_text("N")
        ->check(CLI::PositiveNumber);
    app.add_option("--mpi", mpi, "Run as that many processes, started by mpirun on this machine")
        ->option_text("N")
        ->check(CLI::PositiveNumber);
    app.add_flag("--keys", keys, "List every key with its default, and end");
    add_json_flag(app, json);
    machine.add_to(app);
  }

  void load(ConfigTable& table) const {
    load_settings(kName, words, table);
    if (resume) table.set("run.resume", "true");
    if (!profile.empty()) table.set("run.profile", profile);
    if (machine.threads > 0) table.set("run.threads", std::to_string(machine.threads));
    if (machine.pin) table.set("run.pin", "true");
  }

  int run() {
    train::TrainConfig config;
    ConfigTable table(config);
    if (keys) {
      print_result(table.reference());
      return 0;
    }
    load(table);
    table.check();
    machine.resolve();
    if (config.run.threads == 0) config.run.threads = machine.threads;
    config.validate();
    check_ranks(config);
    if (mpi > 0) exec_mpirun(mpi, arguments());

    // While text is encoded Ctrl-C ends the program; from the first step on it saves.
    std::optional<InterruptFlag> interrupt;
    std::once_flag ready;  // ranks that are threads share the hooks
    bool speaks = true;    // of processes under MPI only the first does
    train::TrainHooks hooks;
    hooks.ready = [&] {
      std::call_once(ready, [&] { interrupt.emplace(speaks ? kInterruptNote : nullptr); });
    };
    hooks.stop = [&interrupt] { return interrupt->raised(); };
    hooks.tier = machine.tier;
    int exit_code = 0;
    const auto train = [&](comm::Communicator* comm) {
      const bool first = comm == nullptr || comm->rank() == 0;
      report_faults(comm == nullptr ? "" : fmt::format("rank {} on {}", comm->rank(), host_name()));
      if (first) {
        std::fprintf(stderr, "%s\n", table.to_toml().c_str());
      } else {
        log::quiet_this_thread();
      }
      const train::TrainOutcome outcome = train::train(config, hooks, comm);
      if (!first) return;
      print_outcome(config, outcome);
      exit_code = outcome.exit_code();
    };
    const comm::CommOptions options{.timeout_s = config.comm.timeout};
    if (comm::launched_by_mpi()) {
      comm::run_mpi_rank(
          [&](comm::Communicator& comm) {
            speaks = comm.rank() == 0;
            train(&comm);
          },
          options);
    } else if (ranks > 1) {
      comm::run_ranks(
          ranks, [&](comm::Communicator& comm) { train(&comm); }, options);
    } else {
      train(nullptr);
    }
    return exit_code;
  }

  // Before anything is started: the job must be as large as the mesh.
  void check_ranks(const train::TrainConfig& config) const {
    if (ranks > 0 && mpi > 0) fail_usage("train: --ranks {} and --mpi {}: give one", ranks, mpi);
    if (comm::launched_by_mpi()) {
      if (ranks > 0 || mpi > 0) fail_usage("train: mpirun has started the ranks already");
      return;
    }
    const Mesh mesh = Mesh::standard(config.mesh.sizes());
    const int given = std::max({ranks, mpi, 1});
    if (given == 1 && mesh.size() > 1) {
      fail_usage(
          "config mesh: {} is for {} ranks: add --ranks {} (threads) or --mpi {} (processes), or "
          "start it with mpirun -n {}",
          mesh.str(), mesh.size(), mesh.size(), mesh.size(), mesh.size());
    }
    mesh.check_job(given);
    if (given > 1) train::check_layout(config, train::model_config(config));
    if (config.run.memory > 0) {
      const kernels::KernelTable& kernels = kernels::kernel_table(machine.tier);
      train::plan_run(config, kernels).check_memory(config.run.memory);
    }
  }

  // This command without --mpi, for the processes it starts.
  std::vector<std::string> arguments() const {
    std::vector<std::string> result = {"train"};
    result.insert(result.end(), words.begin(), words.end());
    if (resume) result.push_back("--resume");
    if (json) result.push_back("--json");
    if (!profile.empty()) result.insert(result.end(), {"--profile", profile});
    if (machine.threads > 0) {
      result.insert(result.end(), {"--threads", std::to_string(machine.threads)});
    }
    if (machine.pin) result.push_back("--pin");
    if (!machine.isa.empty()) result.insert(result.end(), {"--isa", machine.isa});
    if (!machine.log_level.empty()) result.insert(result.end(), {"--log-level", machine.log_level});
    return result;
  }

  void print_outcome(const train::TrainConfig& config, const train::TrainOutcome& outcome) const {
    if (json) {
      print_result(json_line(
          nlohmann::ordered_json{{"run", config.run.dir},
                                 {"checkpoint", outcome.checkpoint},
                                 {"first_step", outcome.first_step},
                                 {"last_step", outcome.last_step},
                                 {"interrupted", outcome.interrupted},
                                 {"loss", outcome.loss},
                                 {"valid_loss_start", optional_number(outcome.valid_loss_start)},
                                 {"valid_loss", optional_number(outcome.valid_loss)},
                                 {"seconds", outcome.seconds},
                                 {"tokens_per_s", outcome.tokens_per_s},
                                 {"mfu", outcome.mfu},
                                 {"planned_bytes", outcome.planned_bytes},
                                 {"peak_bytes", outcome.peak_bytes}}));
      return;
    }
    if (outcome.first_step > outcome.last_step) {
      print_result(fmt::format("nothing left to do: train.steps={}, and {} is there\nmodel: {}",
                               config.train.steps, outcome.last_step, outcome.checkpoint));
      return;
    }
    std::string text = fmt::format("step {}, loss {:.4f}", outcome.last_step, outcome.loss);
    if (outcome.valid_loss) text += fmt::format(", validation {:.4f}", *outcome.valid_loss);
    text += fmt::format(", {} tokens/s, {}, {} in memory ({} planned)",
                        human_count(outcome.tokens_per_s), human_seconds(outcome.seconds),
                        human_bytes(static_cast<double>(outcome.peak_bytes)),
                        human_bytes(static_cast<double>(outcome.planned_bytes)));
    if (!outcome.checkpoint.empty()) text += fmt::format("\nmodel: {}", outcome.checkpoint);
    print_result(text);
  }
};

}  // namespace

void add_train(CLI::App& app, Action& action) { add_verb<Train>(app, action); }

}  // namespace ashlar::cli
