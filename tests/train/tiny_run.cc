#include "tests/train/tiny_run.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/philox.h"
#include "ashlar/train/checkpoint.h"
#include "tests/base/paths.h"

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <sstream>

namespace ashlar::train::testing {
namespace {

// Sentences of a small grammar: something that can be learnt, a pure function of the seed.
std::string text(uint64_t seed, int sentences) {
  const char* words[3][4] = {{"the cat ", "a dog ", "one bird ", "my fish "},
                             {"sees ", "likes ", "hears ", "follows "},
                             {"the moon.\n", "a river.\n", "my house.\n", "the king.\n"}};
  const RandomStream random(seed, "text");
  std::string result;
  for (int i = 0; i < 3 * sentences; ++i) {
    result += words[i % 3][random.below(static_cast<uint64_t>(i), 4)];
  }
  return result;
}

}  // namespace

TinyRun::TinyRun() {
  write_file(path("train.txt"), text(1, 200));
  write_file(path("valid.txt"), text(2, 30));
}

TrainConfig TinyRun::config(const std::string& name) const {
  TrainConfig config;
  config.model.width = 16;
  config.model.layers = 2;
  config.model.heads = 2;
  config.model.kv_heads = 1;
  config.model.ffn = 24;
  config.data.train = {path("train.txt")};
  config.data.valid = {path("valid.txt")};
  config.data.tokenizer = fixture("llama");
  config.data.cache = path("cache");
  config.train.steps = 10;
  config.train.batch = 4;
  config.train.microbatch = 2;
  config.train.seq = 16;
  config.train.lr = 1e-2;
  config.train.warmup = 2;
  config.train.dropout = 0.1;
  config.valid.every = 5;
  config.valid.batches = 2;
  config.checkpoint.every = 5;
  config.run.dir = path(name);
  config.run.threads = 1;
  config.run.peak_flops = 1e12;
  return config;
}

std::string fixture(const std::string& model) { return join_path(test_data(), "models/" + model); }

TrainHooks quiet() {
  TrainHooks hooks;
  hooks.progress = ProgressSink{.write = [](std::string_view) {}, .width = [] { return 80; }};
  return hooks;
}

TrainOutcome run(const TrainConfig& config) { return train(config, quiet()); }

TrainOutcome resume(TrainConfig config) {
  config.run.resume = true;
  return run(config);
}

std::string log_of(const std::function<void()>& body) {
  std::ostringstream text;
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(
      "captured", std::make_shared<spdlog::sinks::ostream_sink_mt>(text)));
  body();
  spdlog::set_default_logger(before);
  return text.str();
}

std::vector<std::string> learning_log(const std::string& run_dir) {
  std::vector<std::string> lines;
  for (StepMetrics step : read_metrics(join_path(run_dir, "metrics.jsonl"))) {
    step.tokens_per_s = step.mfu = step.step_ms = 0;
    lines.push_back(step.to_json());
  }
  return lines;
}

std::string learnt_bytes(const std::string& run_dir) {
  const std::string folder = checkpoint_folder(run_dir, list_checkpoints(run_dir).back());
  return read_file(join_path(folder, "model.safetensors")) +
         read_file(join_path(folder, "state/optimizer.safetensors"));
}

}  // namespace ashlar::train::testing
