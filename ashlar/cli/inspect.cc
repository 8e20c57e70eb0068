#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "ashlar/base/human.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/bundle/load_weights.h"
#include "ashlar/cli/flag_checks.h"
#include "ashlar/cli/inspect_memory.h"
#include "ashlar/cli/inspect_tokenizer.h"
#include "ashlar/cli/verbs.h"
#include "ashlar/formats/safetensors_header.h"
#include "ashlar/graph/svg.h"
#include "ashlar/kernels/table.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/tensor/dtype.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <string>

namespace ashlar::cli {
namespace {

using Json = nlohmann::ordered_json;

// What the weight files hold, by dtype.
struct Weights {
  int64_t tensors = 0, bytes = 0;
  std::map<std::string, int64_t> elements;  // by dtype
};

Weights weights_of(const bundle::Bundle& model) {
  Weights weights;
  const bundle::Weights file = model.open_weights();
  for (const std::string& tensor : file.names()) {
    const formats::TensorSpec& entry = file.entry(tensor);
    ++weights.tensors;
    weights.elements[std::string(name(entry.dtype))] += entry.shape.elements();
  }
  weights.bytes = file.data_bytes();
  return weights;
}

int64_t windowed_layers(const models::DecoderConfig& config) {
  int64_t layers = 0;
  for (int64_t i = 0; i < config.layers; ++i) layers += config.layer(i).window > 0;
  return layers;
}

// Layers whose MLP is no mixture of experts.
int64_t plain_layers(const models::DecoderConfig& config) {
  int64_t layers = 0;
  for (int64_t i = 0; i < config.layers; ++i) layers += !config.has_experts(i);
  return layers;
}

// "rotary, 64 of 80 channels, base 10000, yarn by 4"
std::string positions_of(const models::DecoderConfig& config) {
  if (config.positions == models::Positions::kLearned) return "learned";
  if (config.positions == models::Positions::kAlibi) return "ALiBi";
  constexpr std::string_view kScalings[] = {"", "linear", "dynamic", "llama3", "yarn", "longrope"};
  const models::RopeConfig& rope = config.rope;
  std::string text = fmt::format("rotary, {} of {} channels, base {}", rope.rotary_dim,
                                 config.head_dim, rope.theta);
  if (rope.scaling != models::RopeScaling::kDefault) {
    text += fmt::format(", {} by {}", kScalings[static_cast<size_t>(rope.scaling)], rope.factor);
  }
  const bool local = std::ranges::any_of(config.pattern, &models::LayerConfig::local_rope);
  if (local) text += fmt::format(", base {} in windowed layers", config.local_rope.theta);
  return text;
}

// "rms before each branch, of each head's queries and keys"
std::string norms_of(const models::DecoderConfig& config) {
  constexpr std::string_view kPlaces[] = {"before each branch", "behind each branch",
                                          "before and behind each branch", "behind each sum"};
  std::string text = config.norm == graph::NormKind::kRms ? "rms " : "layer ";
  text += kPlaces[static_cast<size_t>(config.norm_placement)];
  if (config.mlp_input != models::MlpInput::kAttention) text += ", attention beside MLP";
  if (config.qk_norm == models::QkNorm::kWidth) text += ", of queries and keys";
  if (config.qk_norm == models::QkNorm::kHead || config.qk_norm == models::QkNorm::kEachHead) {
    text += ", of each head's queries and keys";
  }
  return text;
}

// Of an encoder without the head for masked tokens, which many files lack.
int64_t encoding_size(const models::DecoderConfig& config) {
  int64_t parameters = 0;
  const graph::Graph graph = models::build_hidden(config);
  for (const graph::Variable& variable : graph.variables()) {
    if (variable.kind == graph::VariableKind::kParameter) parameters += variable.shape.elements();
  }
  return parameters;
}

// What the description says.
Json described(const models::DecoderConfig& config) {
  const int64_t parameters =
      config.causal ? models::parameter_count(config) : encoding_size(config);
  return {
      {"family", config.family},
      {"parameters", parameters},
      {"active_parameters", config.causal ? models::active_parameter_count(config) : parameters},
      {"layers", config.layers},
      {"width", config.width},
      {"heads", config.heads},
      {"kv_heads", config.kv_heads},
      {"head_dim", config.head_dim},
      {"plain_layers", plain_layers(config)},
      {"ffn", plain_layers(config) > 0 ? config.ffn : 0},
      {"experts", config.mixture.experts},
      {"expert_ffn", config.mixture.experts > 0 ? config.expert_ffn() : 0},
      {"shared_ffn", config.mixture.experts > 0 ? config.shared_ffn() : 0},
      {"experts_per_token", config.mixture.experts > 0 ? config.mixture.per_token : 0},
      {"vocab", config.vocab},
      {"context", config.max_positions},
      {"window", config.largest_window()},
      {"windowed_layers", windowed_layers(config)},
      {"positions", positions_of(config)},
      {"norms", norms_of(config)},
      {"tied_head", config.tied_head},
  };
}

Json facts_of(const bundle::Bundle& model, int64_t context, std::optional<DType> dtype) {
  const bool encoder = model.encoder() != nullptr;
  const Weights weights = weights_of(model);
  Json facts{
      {"model", model.path()},
      {"format", model.gguf() != nullptr ? fmt::format("GGUF version {}", model.gguf()->version())
                                         : "Hugging Face folder"},
  };
  facts.update(described(model.description()));
  facts["weights"] = {
      {"tensors", weights.tensors}, {"bytes", weights.bytes}, {"dtypes", Json::object()}};
  if (encoder) {  // which keeps nothing from text to text
    facts["memory"] = {{"context", facts["context"]},
                       {"weight_bytes", weights.bytes},
                       {"cache_bytes", 0},
                       {"total_bytes", weights.bytes}};
  } else {
    const ServingMemory memory = memory_to_serve(model, context, dtype);
    facts["memory"] = {{"context", memory.context},
                       {"dtype", std::string(name(memory.dtype))},
                       {"cache_dtype", std::string(name(memory.cache_dtype))},
                       {"weight_bytes", memory.weight_bytes},
                       {"cache_bytes", memory.cache_bytes},
                       {"work_bytes", memory.work_bytes},
                       {"total_bytes", memory.total_bytes()}};
  }
  for (const auto& [kind, elements] : weights.elements) {
    facts["weights"]["dtypes"][kind] = elements;
  }
  return facts;
}

// "4 of 2048, 2 for each token, shared MLP 512"
std::string experts_of(const Json& facts) {
  const auto number = [&](const char* key) { return facts[key].get<int64_t>(); };
  std::string text = fmt::format("{} of {}, {} for each token", number("experts"),
                                 number("expert_ffn"), number("experts_per_token"));
  if (number("shared_ffn") > 0) text += fmt::format(", shared MLP {}", number("shared_ffn"));
  return text;
}

// ", MLP 512", of layers that have one that is no mixture.
std::string mlp_of(const Json& facts) {
  const auto number = [&](const char* key) { return facts[key].get<int64_t>(); };
  const int64_t plain = number("plain_layers"), layers = number("layers");
  if (plain == 0) return "";
  return fmt::format(", MLP {}{}", number("ffn"),
                     plain < layers ? fmt::format(" in {} of {} layers", plain, layers) : "");
}

std::string report(const Json& facts) {
  std::string text;
  const auto line = [&](std::string_view label, const std::string& value) {
    fmt::format_to(std::back_inserter(text), "{:<12}{}\n", label, value);
  };
  const auto number = [&](const char* key) { return facts[key].get<int64_t>(); };
  const auto bytes = [](const Json& value) { return human_bytes(double(value.get<int64_t>())); };
  line("model", facts["model"].get<std::string>());
  line("format", facts["format"].get<std::string>());
  line("family", facts["family"].get<std::string>());
  const bool mixture = number("experts") > 0;
  line("parameters",
       fmt::format("{} ({}){}", human_count(double(number("parameters"))), number("parameters"),
                   mixture ? fmt::format(", {} of them for each token",
                                         human_count(double(number("active_parameters"))))
                           : ""));
  if (mixture) line("experts", experts_of(facts));
  line("shape", fmt::format("{} layers, width {}{}, vocabulary {}{}", number("layers"),
                            number("width"), mlp_of(facts), number("vocab"),
                            facts["tied_head"].get<bool>() ? " (head tied)" : ""));
  line("attention",
       fmt::format("{} heads of {}, {} for keys and values{}", number("heads"), number("head_dim"),
                   number("kv_heads"),
                   number("window") > 0
                       ? fmt::format(", window {} in {} of {} layers", number("window"),
                                     number("windowed_layers"), number("layers"))
                       : ""));
  line("positions", facts["positions"].get<std::string>());
  line("norms", facts["norms"].get<std::string>());
  line("context", fmt::format("{} tokens", number("context")));
  std::string dtypes;
  for (const auto& [dtype, elements] : facts["weights"]["dtypes"].items()) {
    dtypes += fmt::format(", {} {}", human_count(double(elements.get<int64_t>())), dtype);
  }
  line("weights", fmt::format("{} in {} tensors{}", bytes(facts["weights"]["bytes"]),
                              facts["weights"]["tensors"].get<int64_t>(), dtypes));
  const Json& memory = facts["memory"];
  line("memory",
       memory.contains("work_bytes")
           ? fmt::format("{} weights as {} + {} cache as {} + {} of a step = {} for one "
                         "sequence of {} tokens",
                         bytes(memory["weight_bytes"]), memory["dtype"].get<std::string>(),
                         bytes(memory["cache_bytes"]), memory["cache_dtype"].get<std::string>(),
                         bytes(memory["work_bytes"]), bytes(memory["total_bytes"]),
                         memory["context"].get<int64_t>())
           : fmt::format("{} weights", bytes(memory["weight_bytes"])));
  return text;
}

graph::Graph graph_of(const bundle::Bundle& model, bool training) {
  const models::DecoderConfig& config = model.description();
  if (!training) return config.causal ? models::build_logits(config) : models::build_hidden(config);
  graph::Graph graph = models::build_training(config.without_dropout());
  passes::differentiate(graph, models::training_losses(graph));
  return graph;
}

void write_graph(const bundle::Bundle& model, bool training, const std::string& path) {
  const graph::Graph graph = graph_of(model, training);
  if (path.ends_with(".svg")) {
    write_file(path, graph::to_svg(graph, fmt::format("{}, {}", model.description().family,
                                                      training ? "training" : "forward")));
  } else if (path.ends_with(".txt")) {
    write_file(path, graph.str());
  } else {
    fail_usage("--graph {}: a name ending in .svg (a drawing) or .txt (text) is wanted", path);
  }
}

struct Inspect {
  static constexpr const char* kName = "inspect";
  static constexpr const char* kHelp = "Show a model's sizes and memory, draw its graph";
  static constexpr const char* kGroup = kModelGroup;
  std::string model, graph;
  int64_t context = 0;
  std::optional<DType> dtype;
  bool training = false, json = false;

  void add_flags(CLI::App& app) {
    app.add_option("MODEL", model, "Model directory, GGUF file or name in the Hugging Face cache")
        ->required();
    app.add_option("--context,--ctx", context,
                   "Tokens to count the cache's memory for (default: all)")
        ->check(positive())
        ->option_text("N");
    app.add_option("--dtype", dtype,
                   "Count memory for weights held as f32, bf16, f16, q8_0, q4_0, q4_k or q6_k "
                   "(default: the file's own)")
        ->transform(weight_dtype())
        ->option_text("DTYPE");
    app.add_option("--graph", graph, "Write the model's graph: a drawing (.svg) or text (.txt)")
        ->option_text("FILE");
    app.add_flag("--training", training, "The graph of training, with its backward pass")
        ->needs("--graph");
    add_json_flag(app, json);
  }

  int run() const {
    if (const auto vocabulary = vocabulary_facts(model)) {
      print_result(json ? vocabulary->json : vocabulary->lines);
      return 0;
    }
    const bundle::Bundle opened = bundle::Bundle::open(model);
    if (!graph.empty()) write_graph(opened, training, graph);
    Json facts = facts_of(opened, context, dtype);
    const TextFacts text = text_facts(opened);
    facts.update(Json::parse(text.json));
    print_result(json ? json_line(facts) : report(facts) + text.lines);
    // Behind the facts, which help to see what is wrong.
    bundle::check_weights(opened.open_weights(), graph_of(opened, false), opened.path());
    return 0;
  }
};

}  // namespace

void add_inspect(CLI::App& app, Action& action) { add_verb<Inspect>(app, action); }

}  // namespace ashlar::cli
