#include "ashlar/models/family.h"

#include "ashlar/base/error.h"
#include "ashlar/base/shown_text.h"
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace ashlar::models {

std::span<const Family> families() {
  static const std::vector<Family> table = {
      bloom_family(),     cohere_family(),   deepseek_v2_family(), deepseek_v3_family(),
      falcon_family(),    gemma_family(),    gemma2_family(),      gemma3_family(),
      gpt2_family(),      gpt_neox_family(), gptj_family(),        granite_family(),
      llama_family(),     mistral_family(),  mixtral_family(),     olmo2_family(),
      opt_family(),       phi_family(),      phi3_family(),        qwen2_family(),
      qwen2_moe_family(), qwen3_family(),    qwen3_moe_family(),   stablelm_family(),
      starcoder2_family()};
  return table;
}

std::span<const Family> encoder_families() {
  static const std::vector<Family> table = {bert_family(), roberta_family(), xlm_roberta_family(),
                                            nomic_bert_family(), modernbert_family()};
  return table;
}

const Family& find_family(const std::string& model_type, const std::string& where) {
  std::vector<std::string_view> decoders, encoders;
  for (const Family& family : families()) {
    if (family.model_type == model_type) return family;
    decoders.push_back(family.model_type);
  }
  for (const Family& family : encoder_families()) {
    if (family.model_type == model_type) return family;
    encoders.push_back(family.model_type);
  }
  const std::string text_model = model_type + "_text";  // of a model that also sees
  for (const std::string_view known : decoders) {
    if (known != text_model) continue;
    fail("{}: model_type {} takes pictures too and is not known; its text model, {}, is", where,
         shown_text(model_type), text_model);
  }
  fail("{}: model_type {} is not known; known are the decoders {} and the encoders {}", where,
       shown_text(model_type), fmt::join(decoders, ", "), fmt::join(encoders, ", "));
}

DecoderConfig new_decoder(const std::string& model_type, const DecoderSizes& sizes) {
  DecoderConfig config = find_family(model_type, "model.family").blank();
  config.family = model_type;
  ASHLAR_CHECK(sizes.head_dim > 0 || sizes.heads <= 0 || sizes.width % sizes.heads == 0,
               "model: width {} is not a multiple of {} heads", sizes.width, sizes.heads);
  config.resize(sizes);
  config.validate("model");
  return config;
}

DecoderConfig parse_config(std::string_view text, const std::string& where) {
  HfConfig keys(text, where);
  const Family& family = find_family(keys.text("model_type"), where);
  ignore_common_keys(keys);
  if (auto quantized = keys.object("quantization_config")) {
    fail(
        "{}: quantization_config: weights as {} packs them are not read; wanted the model before "
        "that, or a GGUF file",
        where, shown_text(quantized->text("quant_method", "?")));
  }
  if (!family.blank().causal) {
    keys.only("is_decoder", false);
    keys.only("add_cross_attention", false);
  }
  // transformers has it of any model, and takes null for false.
  keys.only("is_causal", family.blank().causal);
  ASHLAR_CHECK(!family.blank().causal || !keys.is_null("is_causal"),
               "{}: is_causal = null is not supported (only true)", where);
  DecoderConfig config = family.parse(keys);
  config.family = family.model_type;
  keys.finish();
  config.validate(where);
  return config;
}

namespace {

// Of an encoder without a head "BertModel" where with it is "BertForMaskedLM".
std::string architecture_of(const DecoderConfig& config, const Family& family) {
  constexpr std::string_view kMasked = "ForMaskedLM";
  std::string name(family.architecture);
  if (config.causal || config.head_transform.enabled || !name.ends_with(kMasked)) return name;
  return name.substr(0, name.size() - kMasked.size()) + "Model";
}

}  // namespace

std::string write_config(const DecoderConfig& config) {
  using nlohmann::ordered_json;
  const Family& family = find_family(config.family);
  ordered_json document;
  document["architectures"] = {architecture_of(config, family)};
  document["model_type"] = family.model_type;
  // Left out, some families' default is an id beyond a small vocabulary (Phi 3's is 32000).
  document["pad_token_id"] = nullptr;
  document.update(ordered_json::parse(family.write(config)));
  document["tie_word_embeddings"] = config.tied_head;
  document["initializer_range"] = config.initializer_range;
  document["bos_token_id"] = config.bos ? ordered_json(*config.bos) : ordered_json();
  document["eos_token_id"] = nullptr;
  if (config.eos.size() == 1) document["eos_token_id"] = config.eos.front();
  if (config.eos.size() > 1) document["eos_token_id"] = config.eos;
  // Newer versions of transformers read the first, older ones the second.
  document["dtype"] = document["torch_dtype"] = dtype_name(config.dtype);
  document["use_cache"] = true;
  return document.dump(2) + "\n";
}

std::vector<WeightRule> weight_rules(const DecoderConfig& config) {
  return find_family(config.family).weights(config);
}

bool is_known_buffer(const DecoderConfig& config, std::string_view tensor) {
  // Layers behind the last predict further tokens (DeepSeek-V3): they are not part of the model.
  if (config.latent.enabled && tensor.starts_with(fmt::format("model.layers.{}.", config.layers))) {
    return true;
  }
  if (config.tied_head && tensor == "lm_head.weight") return true;
  const Family& family = find_family(config.family);
  const auto ends = [&](std::string_view buffer) { return tensor.ends_with(buffer); };
  if (std::ranges::any_of(family.buffers, ends)) return true;
  if (tensor.starts_with(family.prefix)) tensor.remove_prefix(family.prefix.size());
  const auto begins = [&](std::string_view name) { return tensor.starts_with(name); };
  return std::ranges::any_of(family.others, begins);
}

TensorNames tensor_names(const DecoderConfig& config) {
  const Family& family = find_family(config.family);
  TensorNames names;
  names.rules = family.weights(config);
  names.prefix = family.prefix;
  names.older = family.older;
  names.is_buffer = [config](std::string_view tensor) { return is_known_buffer(config, tensor); };
  return names;
}

}  // namespace ashlar::models
