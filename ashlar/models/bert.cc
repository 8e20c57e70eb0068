// BERT (Devlin et al. 2019): learned positions, token types, a norm behind each sum, biases
// everywhere. RoBERTa (Liu et al. 2019) and XLM-RoBERTa are the same with positions that count from
// behind the padding token's id.
#include "ashlar/base/error.h"
#include "ashlar/models/encoder_keys.h"
#include "ashlar/models/hf_keys.h"

#include <fmt/format.h>

namespace ashlar::models {
namespace {

EncoderConfig parse_bert(HfConfig& keys) {
  const std::string kind = keys.text("position_embedding_type", "absolute");
  ASHLAR_CHECK(kind == "absolute",
               "{}: position_embedding_type '{}' is not supported; supported is absolute",
               keys.where(), kind);
  keys.ignore("classifier_dropout hidden_dropout_prob attention_probs_dropout_prob");
  // Of the pooler of old files, which no embedding reads.
  keys.ignore(
      "pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head "
      "pooler_type directionality tie_word_embeddings");
  EncoderConfig config = read_encoder_sizes(keys);
  config.max_positions = keys.size("max_position_embeddings");
  config.token_types = keys.size("type_vocab_size", 2);
  config.norm_eps = keys.number("layer_norm_eps", 1e-12);
  config.activation = read_activation(keys, "hidden_act", "gelu");
  return config;
}

EncoderConfig parse_roberta(HfConfig& keys) {
  const std::vector<int64_t> padding = keys.token_ids("pad_token_id");
  EncoderConfig config = parse_bert(keys);
  config.first_position = (padding.empty() ? 1 : padding.front()) + 1;
  ASHLAR_CHECK(config.max_positions > config.first_position,
               "{}: max_position_embeddings {} leaves no room behind pad_token_id {}", keys.where(),
               config.max_positions, config.first_position - 1);
  config.max_positions -= config.first_position;
  return config;
}

std::vector<WeightRule> weights(const EncoderConfig& config) {
  const std::string base = config.family == "bert" ? "bert." : "roberta.";
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
  return rules;
}

}  // namespace

EncoderFamily bert_family() {
  return {.model_type = "bert",
          .prefix = "bert.",
          .heads = {"pooler.", "cls.", "classifier."},
          .parse = parse_bert,
          .weights = weights};
}

EncoderFamily roberta_family() {
  return {.model_type = "roberta",
          .prefix = "roberta.",
          .heads = {"pooler.", "lm_head.", "classifier."},
          .parse = parse_roberta,
          .weights = weights};
}

EncoderFamily xlm_roberta_family() {
  EncoderFamily family = roberta_family();
  family.model_type = "xlm-roberta";
  return family;
}

}  // namespace ashlar::models
