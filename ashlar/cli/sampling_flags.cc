#include "ashlar/cli/sampling_flags.h"

#include "ashlar/cli/flag_checks.h"

#include <limits>
#include <random>

namespace ashlar::cli {
namespace {

constexpr double kTemperature = 0.8;  // where neither flag nor model names one

uint64_t random_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace

void SamplingFlags::add_to(CLI::App& app) {
  const char* const group = "Sampling";
  app.add_option("-n,--max-new,--max-tokens", max_new, "Most tokens to write")
      ->check(positive())
      ->option_text("N=256")
      ->group(group);
  app.add_flag("--greedy", greedy, "Always the most likely token, whatever penalty the model has")
      ->group(group);
  app.add_option("--temperature", temperature,
                 "Randomness; 0: the most likely token (default: the model's, else 0.8)")
      ->check(number_at_least(0))
      ->option_text("T")
      ->excludes("--greedy")
      ->group(group);
  app.add_option("--top-p", top_p, "Of the most likely tokens that together have this share")
      ->check(number_between(0, 1))
      ->option_text("P")
      ->group(group);
  app.add_option("--top-k", top_k, "Of so many most likely tokens; 0: all")
      ->check(between(0, std::numeric_limits<int32_t>::max()))
      ->option_text("K")
      ->group(group);
  app.add_option("--min-p", min_p, "Of tokens at least this likely, relative to the best")
      ->check(number_between(0, 1))
      ->option_text("P")
      ->group(group);
  app.add_option("--repetition-penalty", repetition_penalty, "Above 1: repeat less")
      ->check(number_above(0))
      ->option_text("R")
      ->group(group);
  app.add_option("--seed", seed, "Same seed, same answer")
      ->check(seed_number())
      ->option_text("N")
      ->group(group);
  app.add_option("--stop", stop, "End before this text; may be given several times")
      ->option_text("TEXT")
      ->take_all()
      ->group(group);
}

generate::GenerateOptions SamplingFlags::resolve(const bundle::GenerationConfig& defaults) const {
  generate::GenerateOptions options;
  generate::SamplingParams& params = options.sampling;
  params.temperature =
      greedy ? 0 : temperature.value_or(defaults.temperature.value_or(kTemperature));
  params.top_p = top_p.value_or(defaults.top_p.value_or(params.top_p));
  params.top_k = top_k.value_or(defaults.top_k.value_or(params.top_k));
  params.min_p = min_p.value_or(defaults.min_p.value_or(params.min_p));
  // Greedy means the most likely token, not the most likely new one: only a flag changes that.
  params.repetition_penalty = repetition_penalty.value_or(
      greedy ? params.repetition_penalty
             : defaults.repetition_penalty.value_or(params.repetition_penalty));
  params.seed = seed ? *seed : random_seed();
  options.max_new = max_new;
  options.stop = stop;
  for (const int64_t id : defaults.eos) options.end_tokens.push_back(static_cast<int32_t>(id));
  return options;
}

}  // namespace ashlar::cli
