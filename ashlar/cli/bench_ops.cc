#include "ashlar/base/atomic_file.h"
#include "ashlar/base/clock.h"
#include "ashlar/cli/bench_load.h"
#include "ashlar/cli/bench_probe.h"
#include "ashlar/cli/bench_verbs.h"
#include "ashlar/cli/flag_checks.h"
#include "ashlar/graph/ops/gated_mlp.h"
#include "ashlar/graph/ops/grouped_linear.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/linear_group.h"
#include "ashlar/plan/roofline.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace ashlar::cli {
namespace {

constexpr int kSteps = 5;  // of each phase; the fastest time of an op counts

// What an op multiplies in: blocks as they are, all else as it is computed.
DType multiplied(const graph::Node& node, DType compute) {
  graph::PackedWeight packed;
  if (const auto* linear = dynamic_cast<const graph::LinearOp*>(node.op.get())) {
    packed = linear->packed();
  } else if (const auto* grouped = dynamic_cast<const graph::GroupedLinearOp*>(node.op.get())) {
    packed = grouped->packed();
  } else if (const auto* mlp = dynamic_cast<const graph::GatedMlpOp*>(node.op.get())) {
    packed = mlp->weights().gate;
  } else if (const auto* group = dynamic_cast<const graph::LinearGroupOp*>(node.op.get())) {
    packed = group->weights().front();
  }
  return is_block(packed.format) ? packed.format : compute;
}

nlohmann::ordered_json as_json(const std::vector<plan::RooflineRow>& rows) {
  nlohmann::ordered_json result = nlohmann::ordered_json::array();
  for (const plan::RooflineRow& row : rows) {
    result.push_back({{"op", row.name},
                      {"kind", row.kind},
                      {"count", row.count},
                      {"seconds", row.seconds},
                      {"flops", row.flops},
                      {"bytes", row.bytes},
                      {"limit_seconds", row.limit}});
  }
  return result;
}

struct BenchOps {
  static constexpr const char* kName = "ops";
  static constexpr const char* kHelp =
      "Show how near each op of a model comes to the machine's limit";
  static constexpr const char* kGroup = kMachineGroup;
  ModelFlags model;
  MachineFlags machine;
  int64_t prefill = 512, batch = 1;
  std::string svg;
  bool json = false;

  void add_flags(CLI::App& app) {
    model.add_to(app);
    app.add_option("--prefill", prefill, "Tokens of each prompt")
        ->check(between(1, BenchLoad::kChunk))
        ->option_text("P=512");
    app.add_option("--batch", batch, "Sequences at once")
        ->check(between(1, 4096))
        ->option_text("B=1");
    app.add_option("--svg", svg, "Draw it as well")->option_text("FILE");
    add_json_flag(app, json);
    machine.add_to(app);
  }

  int run() {
    machine.resolve();
    const kernels::ProbeRates before = probe_rates(machine, machine.threads);
    if (model.context == 0) model.context = prefill + kSteps + 1;
    TextModel opened(model, machine,
                     {.tokens = std::max(prefill, batch), .seqs = batch, .outputs = batch}, batch);
    opened.runner().pack_rest();
    BenchLoad load(opened, batch, prefill + kSteps + 1);
    load.prefill(prefill);  // pages and caches warm
    load.decode(prefill);
    const Steps prompt = record(opened, [&](int) { load.prefill_first(prefill); });
    const Steps decode = record(opened, [&](int step) { load.decode(prefill + 1 + step); });
    const kernels::ProbeRates rates = better(before, probe_rates(machine, machine.threads));
    print(opened, rates, prompt, decode);
    return 0;
  }

 private:
  using Steps = std::vector<std::vector<runtime::Profiler::Record>>;

  template <typename F>
  Steps record(TextModel& opened, const F& step) {
    const SteadyClock clock;
    Steps steps;
    for (int i = 0; i < kSteps; ++i) {
      runtime::Profiler profiler(clock);
      opened.runner().executor().set_profiler(&profiler);
      step(i);
      opened.runner().executor().set_profiler(nullptr);
      steps.push_back(profiler.records());
    }
    return steps;
  }

  void print(TextModel& opened, const kernels::ProbeRates& rates, const Steps& prompt,
             const Steps& decode) const {
    const DType compute = opened.compute_dtype();
    const plan::RooflineRates ceiling = {
        [&](const graph::Node& node) { return peak_operations(rates, multiplied(node, compute)); },
        rates.read_bytes};
    const graph::Graph& graph = opened.runner().executor().graph();
    const std::vector<plan::RooflinePhase> phases = {
        {fmt::format("Prefill of {} tokens", prefill), plan::roofline(graph, prompt, ceiling)},
        {fmt::format("Decode of {} at {} tokens", batch, prefill),
         plan::roofline(graph, decode, ceiling)}};
    if (!svg.empty()) write_file(svg, plan::roofline_svg(phases), "drawing");
    if (json) {
      const nlohmann::ordered_json result{
          {"model", opened.bundle().path()},
          {"dtype", name(opened.dtype())},
          {"prefill", as_json(phases[0].rows)},
          {"decode", as_json(phases[1].rows)},
          {"machine", nlohmann::ordered_json::parse(machine_json(machine, rates))}};
      return print_result(result.dump());
    }
    std::string text;
    for (const plan::RooflinePhase& phase : phases) {
      text += phase.title + "\n" + plan::roofline_text(phase.rows) + "\n";
    }
    text.resize(text.size() - 2);
    print_result(text);
  }
};

}  // namespace

void add_bench_ops(CLI::App& app, Action& action) { add_verb<BenchOps>(app, action); }

}  // namespace ashlar::cli
