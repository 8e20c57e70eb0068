#include "ashlar/embed/settings.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"

#include <nlohmann/json.hpp>

#include <array>
#include <utility>

namespace ashlar::embed {
namespace {

using nlohmann::json;

constexpr const char* kModules = "modules.json";

constexpr std::array<std::pair<std::string_view, Pooling>, 6> kNames = {
    {{"mean", Pooling::kMean},
     {"cls", Pooling::kCls},
     {"last", Pooling::kLast},
     {"max", Pooling::kMax},
     {"mean_sqrt", Pooling::kMeanSqrt},
     {"weighted_mean", Pooling::kWeightedMean}}};

// As 1_Pooling/config.json has them: a flag of each, or one of these names under "pooling_mode".
struct PoolingKey {
  const char* flag;
  const char* mode;
  Pooling pooling;
};
constexpr PoolingKey kPoolingKeys[] = {
    {"pooling_mode_mean_tokens", "mean", Pooling::kMean},
    {"pooling_mode_cls_token", "cls", Pooling::kCls},
    {"pooling_mode_lasttoken", "lasttoken", Pooling::kLast},
    {"pooling_mode_max_tokens", "max", Pooling::kMax},
    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", Pooling::kMeanSqrt},
    {"pooling_mode_weightedmean_tokens", "weightedmean", Pooling::kWeightedMean},
};

template <typename T>
T value_or(const json& object, const std::string& where, const char* key, T fallback) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  try {
    return found->template get<T>();
  } catch (const json::exception&) {
    fail("{}: {} is {}, wanted {}", where, key, found->dump(), json(fallback).type_name());
  }
}

Pooling read_pooling(const std::string& file) {
  const auto config = read_json<json>(file);
  ASHLAR_CHECK(config.is_object(), "{}: wanted a JSON object", file);
  const auto mode = value_or<std::string>(config, file, "pooling_mode", "");
  std::optional<Pooling> chosen;
  for (const auto& [flag, name, pooling] : kPoolingKeys) {
    if (mode != name && !value_or(config, file, flag, false)) continue;
    ASHLAR_CHECK(!chosen,
                 "{}: asks for more than one kind of pooling, which is not supported; "
                 "keep one",
                 file);
    chosen = pooling;
  }
  ASHLAR_CHECK(value_or(config, file, "include_prompt", true),
               "{}: include_prompt = false (a prompt that is read but not pooled) is not supported",
               file);
  ASHLAR_CHECK(chosen.has_value(), "{}: asks for no kind of pooling that is known{}", file,
               mode.empty() ? "" : fmt::format(" ('{}')", mode));
  return *chosen;
}

// The class of a module: the last part of "sentence_transformers.models.Pooling".
std::string class_of(const std::string& type) { return type.substr(type.rfind('.') + 1); }

void read_modules(const std::string& folder, EmbeddingSettings& settings) {
  const std::string file = join_path(folder, kModules);
  const auto modules = read_json<json>(file);
  ASHLAR_CHECK(modules.is_array(), "{}: wanted a list of modules", file);
  for (const json& module : modules) {
    ASHLAR_CHECK(module.is_object(), "{}: {} is no module", file, module.dump());
    const std::string kind = class_of(value_or<std::string>(module, file, "type", ""));
    const auto path = value_or<std::string>(module, file, "path", "");
    if (kind == "Pooling") {
      settings.pooling = read_pooling(join_path(join_path(folder, path), "config.json"));
    } else if (kind == "Normalize") {
      settings.normalize = true;
    } else if (kind != "Dropout") {  // which is for training
      ASHLAR_CHECK(kind == "Transformer" && path.empty(),
                   "{}: module '{}'{} is not supported; supported are Transformer (in the folder "
                   "itself), Pooling, Normalize",
                   file, kind, path.empty() ? "" : fmt::format(" in '{}'", path));
    }
  }
}

// How long texts are that the tokenizer says the model takes: where sentence-transformers has no
// length of its own. 0: more than any model's positions.
int64_t tokenizer_length(const std::string& folder) {
  constexpr double kNone = 1e9;  // transformers writes 1e30
  const std::string file = join_path(folder, "tokenizer_config.json");
  if (!is_file(file)) return 0;
  const auto length = value_or<double>(read_json<json>(file), file, "model_max_length", kNone);
  return length >= 1 && length < kNone ? static_cast<int64_t>(length) : 0;
}

}  // namespace

bool has_modules(const std::string& folder) { return is_file(join_path(folder, kModules)); }

EmbeddingSettings read_settings(const std::string& folder, bool encoder) {
  EmbeddingSettings settings;
  settings.pooling = encoder ? Pooling::kMean : Pooling::kLast;
  if (has_modules(folder)) read_modules(folder, settings);
  if (const std::string file = join_path(folder, "sentence_bert_config.json"); is_file(file)) {
    const auto config = read_json<json>(file);
    settings.max_tokens = value_or<int64_t>(config, file, "max_seq_length", 0);
    ASHLAR_CHECK(settings.max_tokens >= 0, "{}: max_seq_length is {}, wanted a positive number",
                 file, settings.max_tokens);
    settings.lower_case = value_or(config, file, "do_lower_case", false);
  }
  if (settings.max_tokens == 0) settings.max_tokens = tokenizer_length(folder);
  const std::string file = join_path(folder, "config_sentence_transformers.json");
  if (!is_file(file)) return settings;
  const auto config = read_json<json>(file);
  settings.dimensions = value_or<int64_t>(config, file, "truncate_dim", 0);
  ASHLAR_CHECK(settings.dimensions >= 0, "{}: truncate_dim is {}, wanted a positive number", file,
               settings.dimensions);
  const auto chosen = value_or<std::string>(config, file, "default_prompt_name", "");
  if (chosen.empty()) return settings;
  const auto prompts = config.find("prompts");
  ASHLAR_CHECK(prompts != config.end() && prompts->is_object() && prompts->contains(chosen),
               "{}: default_prompt_name '{}' is not among prompts", file, chosen);
  settings.prompt = value_or<std::string>(*prompts, file, chosen.c_str(), "");
  return settings;
}

EmbeddingSettings settings_of(const bundle::Bundle& model) {
  EmbeddingSettings settings = read_settings(model.path(), model.encoder() != nullptr);
  if (model.gguf() == nullptr) return settings;
  const bundle::GgufEmbedding said = bundle::gguf_embedding(model.gguf()->metadata());
  settings.pooling = pooling_named(said.pooling).value_or(settings.pooling);
  settings.normalize = said.normalize;
  settings.max_tokens = said.max_tokens;
  settings.lower_case = said.lower_case;
  settings.prompt = said.prompt;
  settings.dimensions = said.dimensions;
  return settings;
}

bool embeds(const bundle::Bundle& model) {
  if (model.encoder() != nullptr || has_modules(model.path())) return true;
  return model.gguf() != nullptr &&
         !bundle::gguf_embedding(model.gguf()->metadata()).pooling.empty();
}

bundle::GgufEmbedding settings_in_gguf(const bundle::Bundle& model) {
  if (model.gguf() != nullptr) return bundle::gguf_embedding(model.gguf()->metadata());
  if (!embeds(model)) return {};
  const EmbeddingSettings settings = settings_of(model);
  return {.pooling = std::string(name(settings.pooling)),
          .normalize = settings.normalize,
          .max_tokens = settings.max_tokens,
          .lower_case = settings.lower_case,
          .prompt = settings.prompt,
          .dimensions = settings.dimensions};
}

std::optional<Pooling> pooling_named(std::string_view name) {
  for (const auto& [known, pooling] : kNames) {
    if (known == name) return pooling;
  }
  return std::nullopt;
}

std::string_view name(Pooling pooling) {
  for (const auto& [known, value] : kNames) {
    if (value == pooling) return known;
  }
  return "";
}

}  // namespace ashlar::embed
