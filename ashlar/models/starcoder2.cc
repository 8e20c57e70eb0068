// StarCoder 2 (Lozhkov et al. 2024): laid out as a LLaMA, with layer norms, a plain MLP and biases.
#include "ashlar/base/error.h"
#include "ashlar/base/shown_text.h"
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/llama.h"

#include <nlohmann/json.hpp>

namespace ashlar::models {
namespace {

void mlp_rules(const DecoderConfig& config, const std::string& theirs, const std::string& ours,
               std::vector<WeightRule>& rules) {
  add_rules(theirs + "mlp.c_fc", ours + "mlp.up", config.mlp_bias, rules);
  add_rules(theirs + "mlp.c_proj", ours + "mlp.down", config.mlp_bias, rules);
}

constexpr LlamaForm kForm{.norm_eps_key = "norm_epsilon",
                          .norm_eps = 1e-5,
                          .activation = "gelu_pytorch_tanh",
                          .kv_heads = 2,
                          .max_positions = 4096,
                          .tied = true,
                          .mlp = mlp_rules};

DecoderConfig blank() {
  DecoderConfig config;
  config.norm = graph::NormKind::kLayer;
  config.norm_eps = 1e-5;
  config.activation = kernels::Activation::kGeluTanh;
  config.gated = false;
  config.qkv_bias = config.o_bias = config.mlp_bias = true;
  config.tied_head = true;
  config.initializer_range = 0.018042;
  return config;
}

// Of the first files, whose model was trained with another program: transformers passes them over.
void check_first_form(HfConfig& keys) {
  keys.ignore(
      "activation_function layer_norm_epsilon attention_softmax_in_fp32 "
      "scale_attention_softmax_in_fp32");
  keys.only("scale_attn_weights", true);
  const std::string mlp = keys.text("mlp_type", "default"),
                    norm = keys.text("norm_type", "layer_norm");
  ASHLAR_CHECK(mlp == "default" && norm == "layer_norm",
               "{}: mlp_type {} and norm_type {} are not supported (only default and "
               "layer_norm)",
               keys.where(), shown_text(mlp), shown_text(norm));
}

DecoderConfig parse(HfConfig& keys) {
  check_first_form(keys);
  DecoderConfig config = blank();
  parse_llama(keys, kForm, config);
  config.qkv_bias = config.o_bias = config.mlp_bias = keys.flag("use_bias", true);
  config.pattern = {{.window = read_window(keys, "sliding_window", 0)}};
  config.residual_dropout = keys.number_or("residual_dropout", 0);
  config.embedding_dropout = keys.number_or("embedding_dropout", 0);
  return config;
}

std::string write(const DecoderConfig& config) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config, kForm));
  const int64_t window = config.layer(0).window;
  keys["use_bias"] = config.mlp_bias;
  keys["sliding_window"] = nullptr;
  if (window > 0) keys["sliding_window"] = window;
  keys["residual_dropout"] = config.residual_dropout;
  keys["embedding_dropout"] = config.embedding_dropout;
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  return llama_weights(config, kForm);
}

}  // namespace

Family starcoder2_family() {
  return {.model_type = "starcoder2",
          .architecture = "Starcoder2ForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
