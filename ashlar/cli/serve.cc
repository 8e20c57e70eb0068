#include "ashlar/base/clock.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/human.h"
#include "ashlar/base/log.h"
#include "ashlar/base/thread_pool.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/cli/free_memory.h"
#include "ashlar/cli/interrupt.h"
#include "ashlar/cli/serve_config.h"
#include "ashlar/cli/serve_loading.h"
#include "ashlar/cli/serve_memory.h"
#include "ashlar/cli/serve_model.h"
#include "ashlar/cli/verbs.h"
#include "ashlar/embed/embedder.h"
#include "ashlar/generate/open_model.h"
#include "ashlar/kernels/table.h"
#include "ashlar/serve/embedding_engine.h"
#include "ashlar/serve/engine.h"
#include "ashlar/serve/http/server.h"
#include "ashlar/serve/weight_version.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ashlar::cli {
namespace {

// As llama.cpp has them.
constexpr std::pair<std::string_view, std::string_view> kShortFlags[] = {
    {"served_model_name", "-a"}, {"max_model_len", "-c"}, {"max_num_batched_tokens", "-b"}};

std::string flag_of(const std::string& key) {
  std::string flag = "--" + key;
  std::ranges::replace(flag, '_', '-');
  return flag;
}

std::string flags_of(const ConfigKey& key) {
  std::string flags = flag_of(key.name());
  for (const std::string& alias : key.aliases()) flags += "," + flag_of(alias);
  for (const auto& [name, flag] : kShortFlags) {
    if (name == key.name()) flags += fmt::format(",{}", flag);
  }
  return flags;
}

// What the engine needs and owns nothing of.
struct Machinery {
  explicit Machinery(const MachineFlags& machine) : pool(machine.threads, machine.pin) {}
  ThreadPool pool;
  std::unique_ptr<generate::ModelRunner> runner;
  std::optional<serve::Engine> engine;
  // Of a model that embeds, in place of the two above.
  std::unique_ptr<embed::Embedder> embedder;
  std::optional<serve::EmbeddingEngine> embedding_engine;
};

struct Serve {
  static constexpr const char* kName = "serve";
  static constexpr const char* kHelp = "Serve a model over OpenAI's HTTP interface";
  static constexpr const char* kGroup = kServeGroup;
  std::string model, file;
  MachineFlags machine;
  ServeConfig config;
  generate::HeldWeights held;
  ConfigTable table{config};
  std::map<std::string, std::string> flags;  // by key, as typed

  void add_flags(CLI::App& app) {
    app.add_option("MODEL", model, "Model directory, GGUF file or name in the Hugging Face cache")
        ->required()
        ->option_text(" ");
    app.add_option("--config", file, "TOML file with any of the settings below")
        ->option_text("FILE");
    for (const ConfigKey& key : table.keys()) {
      const std::string fallback = key.default_text();
      app.add_option_function<std::string>(
             flags_of(key),
             [this, name = key.name()](const std::string& text) { flags[name] = text; }, key.help())
          ->option_text(fallback.size() > 20 || fallback.empty() ? "VALUE" : "=" + fallback)
          ->group("Settings");
    }
    machine.add_to(app);
  }

  void load_settings() {
    if (!file.empty()) table.load_file(file);
    table.load_env("ASHLAR_SERVE_");
    for (const auto& [key, text] : flags) {
      // As from a variable that a script forgot to set: nobody means all to be let in by that.
      if (key == "api_key" && text.empty()) {
        fail_usage("--api-key: empty; give a key, or leave the flag out to serve all");
      }
      table.set(key, text);
    }
    table.check();
    config.validate();
  }

  int run() {
    machine.resolve();
    load_settings();
    const bundle::Bundle bundle = bundle::Bundle::open(model);
    if (config.served_model_name.empty()) config.served_model_name = file_name(bundle.path());
    const SteadyClock clock;
    Machinery machinery(machine);
    serve::LoadingBackend backend(config.served_model_name);
    serve::HttpServer server(config.http(), backend, clock);  // goes before what it answers from
    server.start();
    const double began = clock.now();
    held = generate::held_weights(bundle, config.dtype);
    if (!config.kv_cache_dtype) config.kv_cache_dtype = held.cache;
    const bool embeds = embed::embeds(bundle);
    std::fprintf(stderr, "%s%s", table.to_toml().c_str(),
                 embeds ? "" : sampling_line(bundle, config).c_str());
    try {
      (this->*(embeds ? &Serve::load_embedder : &Serve::load))(bundle, machinery, backend, server,
                                                               clock);
    } catch (const LoadingStopped&) {
      return exit_code(server);
    }
    std::fprintf(stderr, "serving %s at %s after %s (Ctrl-C stops)\n",
                 config.served_model_name.c_str(), server.url().c_str(),
                 human_seconds(clock.now() - began).c_str());
    return exit_code(server);
  }

  // Waits for the server's end.
  static int exit_code(serve::HttpServer& server) {
    return server.wait() == SIGINT ? kInterrupted : 0;
  }

  // What is small and may be wrong comes first, the weights last.
  void load(const bundle::Bundle& bundle, Machinery& machinery, serve::LoadingBackend& backend,
            const serve::HttpServer& server, const Clock& clock) const {
    const kernels::KernelTable& kernels = kernels::kernel_table(machine.tier);
    generate::ModelOptions options = model_options(bundle.config());
    const ServeMemory memory = share_memory(
        config, generate::plan_memory(bundle.config(), options, kernels, machine.threads),
        options.limits.context, memory_budget(config, free_memory()));
    std::fputs(memory.table().c_str(), stderr);
    check_memory(config, memory);
    if (memory.total() > memory.budget.bytes) {
      log::warn("serve event=memory total={} available={} reason=\"as asked for\"", memory.total(),
                memory.budget.bytes);
    }
    options.blocks = memory.blocks;

    serve::EngineModel served = engine_model(bundle, config, memory.context);
    const bundle::Weights weights = bundle.open_weights();
    ServeLoading loading(backend, server, clock, weights.data_bytes());
    const auto show = [&loading](std::string_view stage, double part) { loading(stage, part); };
    machinery.runner = generate::open_model(bundle, options, kernels, machinery.pool, show);
    served.info.weight_version = serve::weight_version(weights.file(), machinery.pool, show);
    machinery.engine.emplace(*machinery.runner, std::move(served), config.scheduler(), clock);
    backend.finish(*machinery.engine);
  }

  void load_embedder(const bundle::Bundle& bundle, Machinery& machinery,
                     serve::LoadingBackend& backend, const serve::HttpServer& server,
                     const Clock& clock) const {
    const bundle::Weights weights = bundle.open_weights();
    ServeLoading loading(backend, server, clock, weights.data_bytes());
    const auto show = [&loading](std::string_view stage, double part) { loading(stage, part); };
    embed::EmbedderOptions options;
    options.compute = held.compute;
    options.max_tokens = config.max_model_len;
    machinery.embedder = std::make_unique<embed::Embedder>(
        bundle, options, kernels::kernel_table(machine.tier), machinery.pool, show);
    serve::ModelInfo info = embedding_info(*machinery.embedder, config);
    info.weight_version = serve::weight_version(weights.file(), machinery.pool, show);
    machinery.embedding_engine.emplace(*machinery.embedder, std::move(info),
                                       config.max_num_queued_reqs, clock);
    backend.finish(*machinery.embedding_engine);
  }

  generate::ModelOptions model_options(const models::DecoderConfig& decoder) const {
    const serve::SchedulerLimits scheduler = config.scheduler();
    generate::ModelOptions options;
    options.limits.context = config.max_model_len;
    options.limits.seqs = scheduler.max_seqs;
    options.limits.tokens = scheduler.max_batched_tokens;
    options.limits.outputs = scheduler.max_outputs;
    options.hold(held);
    options.cache = *config.kv_cache_dtype;
    return generate::resolve(options, decoder);
  }
};

}  // namespace

void add_serve(CLI::App& app, Action& action) { add_verb<Serve>(app, action); }

}  // namespace ashlar::cli
