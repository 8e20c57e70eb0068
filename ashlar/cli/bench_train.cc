#include "ashlar/base/clock.h"
#include "ashlar/base/cpu.h"
#include "ashlar/base/human.h"
#include "ashlar/base/log.h"
#include "ashlar/base/process_memory.h"
#include "ashlar/cli/bench_probe.h"
#include "ashlar/cli/bench_verbs.h"
#include "ashlar/cli/flag_checks.h"
#include "ashlar/kernels/table.h"
#include "ashlar/train/training_step.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace ashlar::cli {
namespace {

constexpr int kWarmUp = 2;  // steps that are not counted, as the peer's script has it

// A batch and learning rate that never change: what is measured is the step alone.
constexpr double kLearningRate = 3e-4;

train::ModelSection shape_named(const std::string& name) {
  train::ModelSection model;
  if (name == "llama-60m") {
    model.family = "llama";
    model.vocab = 32000;
    model.width = 512;
    model.layers = 12;
    model.heads = 8;
    model.kv_heads = 4;
    model.ffn = 1408;
    return model;
  }
  if (name == "mixtral-90m") {  // two of its experts cost what llama-60m's MLP does
    model.family = "mixtral";
    model.vocab = 32000;
    model.width = 512;
    model.layers = 6;
    model.heads = 8;
    model.kv_heads = 4;
    model.ffn = 704;
    return model;
  }
  model.family = "gpt2";
  const bool small = name == "char-10m";
  model.vocab = small ? 65 : 50257;
  model.width = small ? 384 : 768;
  model.layers = small ? 6 : 12;
  model.heads = small ? 6 : 12;
  model.ffn = 4 * model.width;
  return model;
}

data::StepBatch random_batch(int64_t rows, int64_t seq, int64_t vocab) {
  data::Batch batch;
  batch.rows = rows;
  batch.seq = seq;
  std::mt19937 generator(1);
  std::uniform_int_distribution<int32_t> token(0, static_cast<int32_t>(vocab - 1));
  for (int64_t i = 0; i < rows * seq; ++i) {
    batch.tokens.push_back(token(generator));
    batch.targets.push_back(token(generator));
    batch.positions.push_back(static_cast<int32_t>(i % seq));
  }
  for (int64_t row = 0; row <= rows; ++row) {
    batch.row_start.push_back(static_cast<int32_t>(row * seq));
  }
  batch.valid_tokens = rows * seq;
  data::StepBatch step;
  step.valid_tokens = batch.valid_tokens;
  step.microbatches.push_back(std::move(batch));
  return step;
}

struct BenchTrain {
  static constexpr const char* kName = "train";
  static constexpr const char* kHelp = "Measure training steps of a model with random weights";
  static constexpr const char* kGroup = kMachineGroup;
  MachineFlags machine;
  std::string shape = "gpt2-124m";
  int64_t batch = 4, seq = 256;
  int steps = 8;
  DType dtype = DType::kF32;
  bool json = false;
  std::string profile;

  void add_flags(CLI::App& app) {
    app.add_option("--shape", shape, "char-10m, gpt2-124m, llama-60m or mixtral-90m")
        ->check(one_of({"char-10m", "gpt2-124m", "llama-60m", "mixtral-90m"}))
        ->option_text("NAME=gpt2-124m");
    app.add_option("--batch", batch, "Sequences a step")->check(positive())->option_text("B=4");
    app.add_option("--seq", seq, "Tokens of a sequence")->check(positive())->option_text("T=256");
    app.add_option("--dtype", dtype, "f32 or bf16")
        ->transform(compute_dtype())
        ->option_text("DTYPE=f32");
    app.add_option("--steps", steps, "Steps to take; the first two are not counted")
        ->check(between(kWarmUp + 1, 1'000'000))
        ->option_text("N=8");
    app.add_option("--profile", profile, "Write a trace of one step more, for Perfetto")
        ->option_text("FILE");
    add_json_flag(app, json);
    machine.add_to(app);
  }

  int run() {
    machine.resolve();
    const kernels::ProbeRates before = probe_rates(machine, machine.threads);
    reset_peak_resident_bytes();  // what the probe read does not count

    train::StepSpec spec;
    const train::ModelSection model = shape_named(shape);
    spec.model = model.decoder(model.vocab, seq);
    spec.update.decay = train::Decay::kAll;  // as the peer's script has it
    spec.dtype = dtype;
    spec.recompute = train::TrainConfig{}.recompute;
    spec.max_tokens = batch * seq;
    spec.max_seqs = batch;
    runtime::VariableStore store(1);
    ThreadPool pool(machine.threads, machine.pin);
    train::TrainingStep step(train::build_training_graph(spec), spec, store,
                             kernels::kernel_table(machine.tier), pool);
    const data::StepBatch data = random_batch(batch, seq, spec.model.vocab);

    const SteadyClock clock;
    std::vector<double> seconds;
    double loss = 0;
    for (int i = 1; i <= steps; ++i) {
      const double start = clock.now();
      loss = step.run(data, 1, i, kLearningRate).loss;
      const double taken = clock.now() - start;
      log::debug("step={} loss={:.4f} ms={:.1f}", i, loss, taken * 1e3);
      if (i > kWarmUp) seconds.push_back(taken);
    }
    std::ranges::sort(seconds);
    const double median = seconds[seconds.size() / 2];
    const double flops = step.flops(data) / median;
    const int64_t peak_bytes = peak_resident_bytes();
    const double fastest = step.flops(data) / seconds.front();
    const kernels::ProbeRates rates = probe_behind(
        before, [&](const auto& probed) { return fastest <= peak_operations(probed, dtype); },
        [&] { return probe_rates(machine, machine.threads); });
    check_below(fmt::format("train {}: FLOPs", shape), fastest, peak_operations(rates, dtype));
    if (!profile.empty()) {
      runtime::Profiler profiler(clock);
      step.set_profiler(&profiler);
      step.run(data, 1, steps + 1, kLearningRate);
      step.set_profiler(nullptr);
      profiler.write_trace(profile);
    }

    nlohmann::ordered_json result{
        {"shape", shape},
        {"batch", batch},
        {"seq", seq},
        {"dtype", name(dtype)},
        {"steps", steps},
        {"threads", machine.threads},
        {"parameters", models::parameter_count(spec.model)},
        {"tokens_per_s", double(batch * seq) / median},
        {"step_ms", median * 1e3},
        {"step_ms_min", seconds.front() * 1e3},
        {"mfu", flops / peak_operations(rates, dtype)},
        {"flops_per_s", flops},
        {"peak_bytes", peak_bytes},
        {"planned_bytes", step.planned_bytes()},
        {"loss", loss},
        {"machine", nlohmann::ordered_json::parse(machine_json(machine, rates))}};
    print_result(json ? result.dump()
                      : fmt::format("{} {} batch {} seq {}: {:.0f} tokens/s, {:.1f} ms a step, MFU "
                                    "{:.1f}%, {} at most",
                                    shape, name(dtype), batch, seq, double(batch * seq) / median,
                                    median * 1e3, 100 * flops / peak_operations(rates, dtype),
                                    human_bytes(double(peak_bytes))));
    return 0;
  }
};

}  // namespace

void add_bench_train(CLI::App& app, Action& action) { add_verb<BenchTrain>(app, action); }

}  // namespace ashlar::cli
