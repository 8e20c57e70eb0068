#include "ashlar/bundle/gguf_embedding.h"

#include "ashlar/base/error.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace ashlar::bundle {
namespace {

using formats::GgufMetadata;
using nlohmann::ordered_json;

// By their numbers.
constexpr std::array<std::string_view, 4> kPoolings = {"", "mean", "cls", "last"};
// What 1_Pooling/config.json calls them.
constexpr std::array<const char*, 4> kFlags = {"", "pooling_mode_mean_tokens",
                                               "pooling_mode_cls_token", "pooling_mode_lasttoken"};

constexpr const char* kNormalize = "ashlar.embedding.normalize";
constexpr const char* kMaxTokens = "ashlar.embedding.max_tokens";
constexpr const char* kLowerCase = "ashlar.embedding.lower_case";
constexpr const char* kPrompt = "ashlar.embedding.prompt";
constexpr const char* kDimensions = "ashlar.embedding.dimensions";

std::string pooling_key(const GgufMetadata& metadata) {
  return metadata.text("general.architecture", "") + ".pooling_type";
}

size_t number_of(const std::string& pooling) {
  const auto kind = std::ranges::find(kPoolings, pooling);
  ASHLAR_CHECK(kind != kPoolings.end(),
               "gguf: pooling '{}' has no number there; it has mean, cls, last", pooling);
  return static_cast<size_t>(kind - kPoolings.begin());
}

ordered_json module_of(int index, const char* folder, const char* kind) {
  return {{"idx", index},
          {"name", std::to_string(index)},
          {"path", folder},
          {"type", std::string("sentence_transformers.models.") + kind}};
}

}  // namespace

GgufEmbedding gguf_embedding(const GgufMetadata& metadata) {
  const std::string key = pooling_key(metadata);
  const int64_t kind = metadata.integer(key, 0);
  ASHLAR_CHECK(kind >= 0 && kind < std::ssize(kPoolings),
               "{}: {} is {}, wanted 0 (none), 1 (mean), 2 (cls) or 3 (last)", metadata.where(),
               key, kind);
  if (kind == 0) return {};
  GgufEmbedding embedding{.pooling = std::string(kPoolings[static_cast<size_t>(kind)]),
                          .normalize = metadata.flag(kNormalize, true),
                          .max_tokens = metadata.integer(kMaxTokens, 0),
                          .lower_case = metadata.flag(kLowerCase, false),
                          .prompt = metadata.text(kPrompt, ""),
                          .dimensions = metadata.integer(kDimensions, 0)};
  ASHLAR_CHECK(embedding.max_tokens >= 0, "{}: {} is {}, wanted a positive number",
               metadata.where(), kMaxTokens, embedding.max_tokens);
  ASHLAR_CHECK(embedding.dimensions >= 0, "{}: {} is {}, wanted a positive number",
               metadata.where(), kDimensions, embedding.dimensions);
  return embedding;
}

void describe_embedding(const GgufEmbedding& embedding, GgufMetadata& metadata) {
  metadata.set_u32(pooling_key(metadata), static_cast<int64_t>(number_of(embedding.pooling)));
  if (embedding.pooling.empty()) return;
  metadata.set(kNormalize, embedding.normalize);
  if (embedding.max_tokens > 0) metadata.set_u32(kMaxTokens, embedding.max_tokens);
  if (embedding.lower_case) metadata.set(kLowerCase, true);
  if (!embedding.prompt.empty()) metadata.set(kPrompt, embedding.prompt);
  if (embedding.dimensions > 0) metadata.set_u32(kDimensions, embedding.dimensions);
}

std::map<std::string, std::string> embedding_files(const GgufEmbedding& embedding, int64_t width) {
  std::map<std::string, std::string> files;
  const auto add = [&](const char* name, const ordered_json& content) {
    files[name] = content.dump(2) + "\n";
  };
  if (embedding.pooling.empty()) return files;
  ordered_json modules = {module_of(0, "", "Transformer"), module_of(1, "1_Pooling", "Pooling")};
  if (embedding.normalize) modules.push_back(module_of(2, "2_Normalize", "Normalize"));
  add("modules.json", modules);
  ordered_json pooling{{"word_embedding_dimension", width}};
  const size_t number = number_of(embedding.pooling);
  for (size_t kind = 1; kind < kFlags.size(); ++kind) pooling[kFlags[kind]] = kind == number;
  add("1_Pooling/config.json", pooling);
  if (embedding.max_tokens > 0 || embedding.lower_case) {
    ordered_json text{{"do_lower_case", embedding.lower_case}};
    if (embedding.max_tokens > 0) text["max_seq_length"] = embedding.max_tokens;
    add("sentence_bert_config.json", text);
  }
  ordered_json more = ordered_json::object();
  if (!embedding.prompt.empty()) {
    more = {{"prompts", {{"default", embedding.prompt}}}, {"default_prompt_name", "default"}};
  }
  if (embedding.dimensions > 0) more["truncate_dim"] = embedding.dimensions;
  if (!more.empty()) add("config_sentence_transformers.json", more);
  return files;
}

}  // namespace ashlar::bundle
