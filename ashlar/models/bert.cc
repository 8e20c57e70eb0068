// BERT (Devlin et al. 2019): learned positions, token types, a norm behind each sum, biases
// everywhere. RoBERTa (Liu et al. 2019) and XLM-RoBERTa are the same with positions that count from
// behind the padding token's id.
#include "ashlar/base/error.h"
#include "ashlar/base/shown_text.h"
#include "ashlar/models/encoder_keys.h"
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ashlar::models {
namespace {

using nlohmann::ordered_json;

DecoderConfig blank() {
  DecoderConfig config = blank_encoder();
  config.token_types = 2;
  return config;
}

DecoderConfig parse_bert(HfConfig& keys) {
  const std::string kind = keys.text("position_embedding_type", "absolute");
  ASHLAR_CHECK(kind == "absolute",
               "{}: position_embedding_type {} is not supported; supported is absolute",
               keys.where(), shown_text(kind));
  keys.ignore("classifier_dropout");
  // Of the pooler of old files, which no embedding reads.
  keys.ignore(
      "pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head "
      "pooler_type directionality");
  DecoderConfig config = blank();
  read_encoder_sizes(keys, config);
  config.max_positions = keys.size("max_position_embeddings", 512);
  config.token_types = keys.size("type_vocab_size", 2);
  config.norm_eps = keys.number("layer_norm_eps", 1e-12);
  config.activation = read_activation(keys, "hidden_act", "gelu");
  config.head_transform.activation = config.activation;
  read_bert_dropout(keys, 0.1, config);
  return config;
}

DecoderConfig parse_roberta(HfConfig& keys) {
  const std::vector<int64_t> padding = keys.token_ids("pad_token_id");
  DecoderConfig config = parse_bert(keys);
  config.head_transform.activation = kernels::Activation::kGeluErf;  // whatever the layers have
  config.position_offset = (padding.empty() ? 1 : padding.front()) + 1;
  ASHLAR_CHECK(config.max_positions > config.position_offset,
               "{}: max_position_embeddings {} leaves no room behind pad_token_id {}", keys.where(),
               config.max_positions, config.position_offset - 1);
  config.max_positions -= config.position_offset;
  return config;
}

std::string write(const DecoderConfig& config) {
  auto keys = ordered_json::parse(write_encoder_sizes(config));
  keys.update({{"max_position_embeddings", config.max_positions + config.position_offset},
               {"type_vocab_size", config.token_types},
               {"layer_norm_eps", config.norm_eps},
               {"hidden_act", activation_name(config.activation)},
               {"hidden_dropout_prob", config.residual_dropout},
               {"attention_probs_dropout_prob", config.attention_dropout}});
  // Positions count from it.
  if (config.position_offset > 0) keys["pad_token_id"] = config.position_offset - 1;
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  const bool bert = config.family == "bert";
  const std::string base = bert ? "bert." : "roberta.";
  std::vector<WeightRule> rules = {
      {base + "embeddings.word_embeddings.weight", {"embed.weight"}},
      {base + "embeddings.position_embeddings.weight", {"positions.weight"}},
      {base + "embeddings.token_type_embeddings.weight", {"token_types.weight"}}};
  const auto add = [&](const std::string& theirs, const std::string& ours) {
    add_rules(rules, theirs, {ours}, true);
  };
  add(base + "embeddings.LayerNorm", "embed_norm");
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string theirs = fmt::format("{}encoder.layer.{}.", base, layer);
    const std::string ours = fmt::format("layers.{}.", layer);
    add(theirs + "attention.self.query", ours + "attn.q");
    add(theirs + "attention.self.key", ours + "attn.k");
    add(theirs + "attention.self.value", ours + "attn.v");
    add(theirs + "attention.output.dense", ours + "attn.o");
    add(theirs + "attention.output.LayerNorm", ours + "attn_norm");
    add(theirs + "intermediate.dense", ours + "mlp.up");
    add(theirs + "output.dense", ours + "mlp.down");
    add(theirs + "output.LayerNorm", ours + "mlp_norm");
  }
  const HeadNames of_bert{
      .dense = "cls.predictions.transform.dense",
      .norm = "cls.predictions.transform.LayerNorm",
      .decoder = "cls.predictions.decoder",
      .tied_bias = "cls.predictions.bias",
  };
  const HeadNames of_roberta{
      .dense = "lm_head.dense",
      .norm = "lm_head.layer_norm",
      .decoder = "lm_head.decoder",
      .tied_bias = "lm_head.bias",
  };
  add_head_rules(config, bert ? of_bert : of_roberta, rules);
  return rules;
}

}  // namespace

Family bert_family() {
  return {.model_type = "bert",
          .architecture = "BertForMaskedLM",
          .prefix = "bert.",
          .buffers = {"embeddings.position_ids", "embeddings.token_type_ids"},
          .others = {"pooler.", "cls.", "classifier."},
          .older = {{".LayerNorm.weight", ".LayerNorm.gamma"},
                    {".LayerNorm.bias", ".LayerNorm.beta"},
                    {"predictions.decoder.bias", "predictions.bias"},
                    {"predictions.bias", "predictions.decoder.bias"}},
          .blank = blank,
          .parse = parse_bert,
          .write = write,
          .weights = weights};
}

Family roberta_family() {
  Family family = bert_family();
  family.model_type = "roberta";
  family.architecture = "RobertaForMaskedLM";
  family.prefix = "roberta.";
  family.others = {"pooler.", "lm_head.", "classifier."};
  family.older.back() = {"lm_head.decoder.bias", "lm_head.bias"};
  family.older.emplace_back("lm_head.bias", "lm_head.decoder.bias");
  family.parse = parse_roberta;
  return family;
}

Family xlm_roberta_family() {
  Family family = roberta_family();
  family.model_type = "xlm-roberta";
  family.architecture = "XLMRobertaForMaskedLM";
  return family;
}

}  // namespace ashlar::models
