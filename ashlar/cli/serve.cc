#include "ashlar/base/checksum.h"
#include "ashlar/base/clock.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/human.h"
#include "ashlar/base/thread_pool.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/cli/interrupt.h"
#include "ashlar/cli/serve_config.h"
#include "ashlar/cli/verbs.h"
#include "ashlar/generate/open_model.h"
#include "ashlar/kernels/table.h"
#include "ashlar/serve/engine.h"
#include "ashlar/serve/http/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ashlar::cli {
namespace {

// What a request gets that leaves it open, and a line that says so.
serve::Sampling sampling_defaults(const bundle::GenerationConfig& model, SamplingDefaults wanted) {
  serve::Sampling sampling;
  if (wanted == SamplingDefaults::kNeutral) return sampling;
  sampling.temperature = model.temperature.value_or(sampling.temperature);
  sampling.top_p = model.top_p.value_or(sampling.top_p);
  sampling.top_k = model.top_k.value_or(sampling.top_k);
  sampling.min_p = model.min_p.value_or(sampling.min_p);
  sampling.repetition_penalty = model.repetition_penalty.value_or(sampling.repetition_penalty);
  return sampling;
}

std::string sampling_line(const serve::Sampling& sampling, const bundle::GenerationConfig& model,
                          SamplingDefaults wanted) {
  const bool from_model =
      wanted == SamplingDefaults::kModel &&
      (model.temperature || model.top_p || model.top_k || model.min_p || model.repetition_penalty);
  return fmt::format(
      "sampling where a request names none: temperature {}, top_p {}, top_k {}, min_p {}, "
      "repetition_penalty {} ({})\n",
      sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p,
      sampling.repetition_penalty,
      from_model ? "from the model's generation_config.json" : "neutral");
}

// Tells weights apart: over every tensor's name and first bytes, without reading them all.
std::string weight_version(const bundle::Bundle& bundle) {
  constexpr size_t kSample = 4096;
  Xxh64 hash;
  const formats::SafetensorsReader weights = bundle.open_weights();
  for (const std::string& name : weights.names()) {
    const Tensor tensor = weights.tensor(name);
    hash.update(std::as_bytes(std::span(name)));
    hash.update({tensor.data(), std::min(tensor.bytes(), kSample)});
  }
  return fmt::format("{:016x}", hash.digest());
}

int64_t unix_time() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Tokenizer and template as far as the model has them; what it lacks is refused request by request.
serve::PromptEncoder prompt_encoder(const bundle::Bundle& bundle) {
  std::optional<text::Tokenizer> tokenizer;
  if (bundle.has_tokenizer()) {
    tokenizer = bundle.load_tokenizer();
    tokenizer->drop_length_rules();
  }
  text::ChatFiles files = bundle.chat_files();
  std::optional<text::ChatTemplate> chat;
  if (const text::ChatTemplateSource* source = files.choose(false)) {
    chat = text::ChatTemplate::parse(source->source, source->where);
  }
  return {std::move(tokenizer), std::move(chat), std::move(files.special_tokens),
          bundle.config().vocab};
}

std::string memory_table(int64_t weights, int64_t cache, int64_t work,
                         const generate::ModelRunner& runner) {
  return fmt::format(
      "memory   weights {:>10}\n         cache   {:>10}  {} tokens, at most {} of one request\n"
      "         work    {:>10}  steps of up to {} tokens, {} sequences\n         sum     {:>10}\n",
      human_bytes(double(weights)), human_bytes(double(cache)),
      runner.blocks() * generate::kBlockTokens, runner.max_context(), human_bytes(double(work)),
      runner.limits().tokens, runner.limits().seqs, human_bytes(double(weights + cache + work)));
}

struct Serve {
  static constexpr const char* kName = "serve";
  static constexpr const char* kHelp = "Serve a model over OpenAI's HTTP interface";
  static constexpr const char* kGroup = kServeGroup;
  std::string model, file;
  MachineFlags machine;
  ServeConfig config;
  ConfigTable table{config};
  std::map<std::string, std::string> flags;  // by key, as typed

  void add_flags(CLI::App& app) {
    app.add_option("MODEL", model, "Model directory")->required()->option_text(" ");
    app.add_option("--config", file, "TOML file with any of the settings below")
        ->option_text("FILE");
    for (const ConfigKey& key : table.keys()) {
      std::string flag = "--" + key.name();
      std::ranges::replace(flag, '_', '-');
      const std::string fallback = key.default_text();
      app.add_option_function<std::string>(
             flag, [this, name = key.name()](const std::string& text) { flags[name] = text; },
             key.help())
          ->option_text(fallback.size() > 20 || fallback.empty() ? "VALUE" : "=" + fallback)
          ->group("Settings");
    }
    machine.add_to(app);
  }

  void load() {
    if (!file.empty()) table.load_file(file);
    table.load_env("ASHLAR_SERVE_");
    for (const auto& [key, text] : flags) table.set(key, text);
    table.check();
  }

  generate::ModelOptions model_options(const models::DecoderConfig& decoder) const {
    generate::ModelOptions options;
    options.limits.context = config.context;
    options.limits.seqs = config.max_seqs;
    options.limits.tokens = std::max(config.max_batched_tokens, config.max_seqs);
    options.limits.outputs = 2 * config.max_seqs;
    options.compute = config.dtype;
    options.cache = config.cache_dtype;
    options = generate::resolve(options, decoder);
    // No more than all sequences can fill, and at least one block.
    const int64_t context_blocks =
        (options.limits.context + generate::kBlockTokens - 1) / generate::kBlockTokens;
    options.blocks =
        std::min(config.cache_bytes / block_bytes(decoder), config.max_seqs * context_blocks);
    ASHLAR_CHECK(options.blocks >= 1, "serve: cache_bytes={} is less than one block of {} bytes",
                 config.cache_bytes, block_bytes(decoder));
    return options;
  }

  int run() {
    machine.resolve();
    load();
    const bundle::Bundle bundle = bundle::Bundle::open(model);
    if (config.name.empty()) config.name = file_name(bundle.path());
    const serve::HttpOptions http = config.http();
    const bundle::GenerationConfig generation = bundle.generation();
    const serve::Sampling sampling = sampling_defaults(generation, config.sampling_defaults);
    std::fprintf(stderr, "%s%s", table.to_toml().c_str(),
                 sampling_line(sampling, generation, config.sampling_defaults).c_str());

    const SteadyClock clock;
    ThreadPool pool(machine.threads);
    const std::unique_ptr<generate::ModelRunner> runner = generate::open_model(
        bundle, model_options(bundle.config()), kernels::kernel_table(machine.tier), pool);
    const int64_t cache = runner->blocks() * block_bytes(bundle.config());
    std::fputs(memory_table(bundle.open_weights().data_bytes(), cache,
                            runner->executor().plan().total_bytes(), *runner)
                   .c_str(),
               stderr);

    serve::Engine engine(*runner, engine_model(bundle, *runner, sampling),
                         scheduler_limits(*runner), clock);
    serve::HttpServer server(http, engine, clock);
    server.start();
    std::fprintf(stderr, "serving %s at %s (Ctrl-C stops)\n", config.name.c_str(),
                 server.url().c_str());
    return server.wait() == SIGINT ? kInterrupted : 0;
  }

  serve::EngineModel engine_model(const bundle::Bundle& bundle, const generate::ModelRunner& runner,
                                  const serve::Sampling& sampling) const {
    serve::ModelInfo info;
    info.id = config.name;
    info.created = unix_time();
    info.context_length = runner.max_context();
    info.vocab_size = runner.vocab();
    info.weight_version = weight_version(bundle);
    info.defaults = sampling;
    std::vector<int32_t> ends;
    for (const int64_t id : bundle.generation().eos) ends.push_back(static_cast<int32_t>(id));
    return {std::move(info), prompt_encoder(bundle), std::move(ends)};
  }

  serve::SchedulerLimits scheduler_limits(const generate::ModelRunner& runner) const {
    serve::SchedulerLimits limits;
    limits.max_batched_tokens = runner.limits().tokens;
    limits.max_seqs = runner.limits().seqs;
    limits.max_outputs = runner.limits().outputs;
    limits.max_waiting = config.max_waiting;
    return limits;
  }

  int64_t block_bytes(const models::DecoderConfig& decoder) const {
    return generate::kBlockTokens * 2 * decoder.layers * decoder.kv_heads * decoder.head_dim *
           size_of(config.cache_dtype);
  }
};

}  // namespace

void add_serve(CLI::App& app, Action& action) { add_verb<Serve>(app, action); }

}  // namespace ashlar::cli
