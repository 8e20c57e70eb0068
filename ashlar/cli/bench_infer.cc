#include "ashlar/base/clock.h"
#include "ashlar/base/cpu.h"
#include "ashlar/base/error.h"
#include "ashlar/base/human.h"
#include "ashlar/base/process_memory.h"
#include "ashlar/cli/bench_load.h"
#include "ashlar/cli/bench_probe.h"
#include "ashlar/cli/bench_verbs.h"
#include "ashlar/cli/flag_checks.h"
#include "ashlar/cli/text_model.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>

namespace ashlar::cli {
namespace {

constexpr int kRounds = 3;  // the best counts

// Multiplications of one token with the weights of the layers: no embedding, no head.
int64_t layer_parameters(const models::DecoderConfig& config) {
  const int64_t matrices = config.tied_head ? 1 : 2;
  const int64_t positions =
      config.positions == models::Positions::kLearned ? config.max_positions * config.width : 0;
  return models::parameter_count(config) - matrices * config.vocab * config.width - positions;
}

struct BenchInfer {
  static constexpr const char* kName = "infer";
  static constexpr const char* kHelp = "Measure prefill and decode of a model";
  static constexpr const char* kGroup = kMachineGroup;
  ModelFlags model;
  MachineFlags machine;
  int64_t prefill = 512, decode = 64, batch = 1;
  bool json = false;

  void add_flags(CLI::App& app) {
    model.add_to(app);
    app.add_option("--prefill", prefill, "Tokens of each prompt")
        ->check(positive())
        ->option_text("P=512");
    app.add_option("--decode", decode, "Tokens to write after each")
        ->check(positive())
        ->option_text("N=64");
    app.add_option("--batch", batch, "Sequences at once")
        ->check(between(1, 4096))
        ->option_text("B=1");
    add_json_flag(app, json);
    machine.add_to(app);
  }

  int run() {
    machine.resolve();
    const kernels::ProbeRates before = probe_rates(machine, machine.threads);
    reset_peak_resident_bytes();  // what the probe read does not count
    if (model.context == 0) model.context = prefill + decode;
    TextModel opened(
        model, machine,
        {.tokens = std::max(BenchLoad::kChunk, batch), .seqs = batch, .outputs = batch}, batch);

    opened.runner().pack_rest();

    const SteadyClock clock;
    BenchLoad load(opened, batch, prefill + decode);
    double prefill_s = 0, decode_s = 0;
    load.prefill(std::min(prefill, BenchLoad::kChunk));  // pages and caches warm
    for (int round = 0; round < kRounds; ++round) {
      const double start = clock.now();
      load.prefill(prefill);
      const double middle = clock.now();
      for (int64_t i = 0; i < decode; ++i) load.decode(prefill + i);
      const double end = clock.now();
      prefill_s = round == 0 ? middle - start : std::min(prefill_s, middle - start);
      decode_s = round == 0 ? end - middle : std::min(decode_s, end - middle);
    }
    const int64_t peak_bytes = peak_resident_bytes();
    print(opened, opened.runner(), before, peak_bytes, double(batch * prefill) / prefill_s,
          double(batch * decode) / decode_s);
    return 0;
  }

  void print(const TextModel& opened, const generate::ModelRunner& runner,
             const kernels::ProbeRates& before, int64_t peak_bytes, double prefill_rate,
             double decode_rate) const {
    const models::DecoderConfig& config = opened.bundle().config();
    const double needed = 2 * double(layer_parameters(config));  // FLOPs of a token, at least
    const DType multiplied = is_block(opened.dtype()) ? opened.dtype() : opened.compute_dtype();
    // Weights that do not fit in a cache come from memory once for every step.
    const auto matrix_bytes = double(runner.matrix_bytes());
    const double read = decode_rate / double(batch) * matrix_bytes;
    const bool from_memory = matrix_bytes > double(cpu_info().l3_bytes);
    const double flops = needed * std::max(prefill_rate, decode_rate);
    const kernels::ProbeRates rates = probe_behind(
        before,
        [&](const auto& probed) {
          return flops <= peak_operations(probed, multiplied) &&
                 (!from_memory || read <= probed.read_bytes);
        },
        [&] { return probe_rates(machine, machine.threads); });
    check_below("prefill: FLOPs", prefill_rate * needed, peak_operations(rates, multiplied));
    check_below("decode: FLOPs", decode_rate * needed, peak_operations(rates, multiplied));
    if (from_memory) check_below("decode: bytes read", read, rates.read_bytes);
    nlohmann::ordered_json result{
        {"model", opened.bundle().path()},
        {"prefill", prefill},
        {"decode", decode},
        {"batch", batch},
        {"dtype", name(opened.dtype())},
        {"threads", machine.threads},
        {"prefill_tokens_per_s", prefill_rate},
        {"decode_tokens_per_s", decode_rate},
        {"peak_bytes", peak_bytes},
        {"matrix_bytes", runner.matrix_bytes()},
        {"read_bytes_per_s", read},
        {"flops_per_token", needed},
        {"machine", nlohmann::ordered_json::parse(machine_json(machine, rates))}};
    print_result(json ? result.dump()
                      : fmt::format("prefill {:.1f} tokens/s, decode {:.1f} tokens/s with {} at "
                                    "once, {} at most",
                                    prefill_rate, decode_rate, batch,
                                    human_bytes(double(peak_bytes))));
  }
};

}  // namespace

void add_bench_infer(CLI::App& app, Action& action) { add_verb<BenchInfer>(app, action); }

}  // namespace ashlar::cli
