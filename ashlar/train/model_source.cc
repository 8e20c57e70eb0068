#include "ashlar/train/model_source.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/log.h"
#include "ashlar/bundle/load_weights.h"
#include "ashlar/bundle/model_path.h"
#include "ashlar/bundle/save_bundle.h"

#include <utility>
#include <vector>

namespace ashlar::train {
namespace {

constexpr const char* kTokenizerFiles[] = {"tokenizer_config.json",
                                           "special_tokens_map.json",
                                           "added_tokens.json",
                                           "vocab.json",
                                           "merges.txt",
                                           "tokenizer.model",
                                           "chat_template.jinja"};

// The files of a tokenizer that a new model takes over. path: a folder or a tokenizer.json.
std::map<std::string, std::string> tokenizer_files(const std::string& path,
                                                   const data::TokenizerEncoder& encoder,
                                                   int64_t max_positions) {
  const std::string folder = is_directory(path) ? path : parent_path(path);
  std::map<std::string, std::string> files;
  files["tokenizer.json"] = encoder.tokenizer().json();
  for (const char* name : kTokenizerFiles) {
    const std::string file = join_path(folder, name);
    if (is_file(file)) files[name] = read_file(file);
  }
  if (!files.contains("tokenizer_config.json")) {
    std::vector<std::pair<std::string, std::string>> special;
    const auto name_token = [&](const char* role, int32_t id) {
      if (const auto token = encoder.tokenizer().id_to_token(id))
        special.emplace_back(role, *token);
    };
    for (const int32_t id : encoder.document_begin()) name_token("bos_token", id);
    if (encoder.document_end() >= 0) name_token("eos_token", encoder.document_end());
    files["tokenizer_config.json"] = bundle::write_tokenizer_config(special, max_positions);
  }
  return files;
}

void set_dropout(models::DecoderConfig& config, const std::optional<double>& dropout) {
  if (!dropout) return;
  config.embedding_dropout = config.residual_dropout = config.attention_dropout = *dropout;
}

// Sizes are a new model's: one given beside model.from would seem to count.
void warn_of_sizes(const ModelSection& given, const models::DecoderConfig& config) {
  const ModelSection unset;
  const auto warn = [&](const char* key, const auto& value, const auto& preset, const auto& is) {
    if (value == preset || value == is) return;
    log::warn("event=key_without_effect key=model.{} given={} is={} reason=\"model.from={}\"", key,
              value, is, given.from);
  };
  warn("family", given.family, unset.family, config.family);
  warn("vocab", given.vocab, unset.vocab, config.vocab);
  warn("width", given.width, unset.width, config.width);
  warn("layers", given.layers, unset.layers, config.layers);
  warn("heads", given.heads, unset.heads, config.heads);
  warn("kv_heads", given.kv_heads, unset.kv_heads, config.kv_heads);
  warn("ffn", given.ffn, unset.ffn, config.ffn);
  warn("seq", given.seq, unset.seq, config.max_positions);
  warn("experts", given.experts, unset.experts, config.mixture.experts);
  warn("experts_per_token", given.experts_per_token, unset.experts_per_token,
       config.mixture.per_token);
  warn("tied", given.tied.value_or(config.tied_head), config.tied_head, config.tied_head);
}

void check_positions(const TrainConfig& config, const models::DecoderConfig& decoder) {
  if (config.train.seq <= decoder.max_positions) return;
  fail_usage("config train.seq: {} is beyond model.seq={}", config.train.seq,
             decoder.max_positions);
}

void set_experts(models::MixtureConfig& mixture, const MoeSection& moe) {
  const bool renormalised = mixture.renormalise;
  moe.apply(mixture);
  if (renormalised && !mixture.renormalise) {
    log::warn(
        "event=router note=\"weights of chosen experts do not sum to 1: config.json says so as "
        "ashlar_norm_topk_prob=false, which transformers' Mixtral does not read\"");
  }
}

}  // namespace

ModelSource open_model_source(const TrainConfig& config) {
  const ModelSection& model = config.model;
  if (model.from_scratch() && config.data.tokenizer.empty()) {
    fail_usage(
        "config data.tokenizer: a new model needs one; name a model folder or a tokenizer.json "
        "(ashlar tokenize train makes one), or start from a model with model.from");
  }
  if (!model.from_scratch()) {
    bundle::Bundle from = bundle::Bundle::open(model.from);
    const std::string& tokenizer =
        config.data.tokenizer.empty() ? from.path() : config.data.tokenizer;
    ModelSource source{from.description(), open_encoder(tokenizer), from.text_files(),
                       std::move(from)};
    if (source.encoder.vocab_size() > source.config.vocab) {
      fail_usage("config data.tokenizer: {} has {} tokens, the model {} an embedding of {} rows",
                 tokenizer, source.encoder.vocab_size(), model.from, source.config.vocab);
    }
    if (config.train.seq > source.config.max_positions) {
      fail_usage("config train.seq: {} is beyond the {} positions of {}", config.train.seq,
                 source.config.max_positions, model.from);
    }
    warn_of_sizes(model, source.config);
    set_dropout(source.config, config.train.dropout);
    set_experts(source.config.mixture, config.moe);
    return source;
  }
  data::TokenizerEncoder encoder = open_encoder(config.data.tokenizer);
  models::DecoderConfig decoder = model.decoder(encoder.vocab_size(), config.train.seq);
  check_positions(config, decoder);
  set_dropout(decoder, config.train.dropout);
  set_experts(decoder.mixture, config.moe);
  decoder.bos.reset();
  for (const int32_t id : encoder.document_begin()) decoder.bos = id;
  decoder.eos.clear();
  if (encoder.document_end() >= 0) decoder.eos.push_back(encoder.document_end());
  auto files = tokenizer_files(config.data.tokenizer, encoder, decoder.max_positions);
  return {std::move(decoder), std::move(encoder), std::move(files), std::nullopt};
}

std::optional<data::Masking> masking_of(const models::DecoderConfig& model,
                                        const data::TokenizerEncoder& encoder,
                                        const MaskSection& mask) {
  if (model.causal) {
    if (mask != MaskSection()) {
      fail_usage(
          "config mask: {} predicts next tokens, and none are hidden; remove the keys under mask.",
          model.family);
    }
    return std::nullopt;
  }
  const auto token = encoder.mask_token();
  ASHLAR_CHECK(token.has_value(),
               "training {}: the tokenizer has no mask token; name one as mask_token in "
               "tokenizer_config.json",
               model.family);
  return data::Masking{.probability = mask.probability,
                       .mask = mask.replace,
                       .random = mask.random,
                       .mask_token = *token,
                       .vocab = encoder.vocab_size(),
                       .special = encoder.tokenizer().special_ids()};
}

models::DecoderConfig model_config(const TrainConfig& config) {
  const ModelSection& model = config.model;
  if (!model.from_scratch() || !config.data.tokenizer.empty() || model.vocab == 0) {
    return open_model_source(config).config;
  }
  models::DecoderConfig decoder = model.decoder(0, config.train.seq);
  check_positions(config, decoder);
  set_dropout(decoder, config.train.dropout);
  set_experts(decoder.mixture, config.moe);
  return decoder;
}

data::TokenizerEncoder open_encoder(const std::string& name) {
  const std::string path = bundle::find_model(name);
  if (bundle::is_gguf_file(path)) {
    const bundle::Bundle model = bundle::Bundle::open(path);
    return {model.load_tokenizer(), model.chat_files(), path};
  }
  const bool only_sentencepiece = is_directory(path) &&
                                  !is_file(join_path(path, "tokenizer.json")) &&
                                  is_file(join_path(path, "tokenizer.model"));
  if (!only_sentencepiece) return data::TokenizerEncoder::open(path);
  return {bundle::open_tokenizer(path), text::read_chat_files(path), path};
}

int64_t load_parameters(const bundle::Bundle& model, const graph::Graph& graph,
                        runtime::VariableStore& store) {
  return bundle::load_weights(
      model.open_weights(), model.description(), graph, bundle::Storage::kOwn, model.path(),
      [&](const std::string& name, Tensor tensor) { store.put(name, std::move(tensor)); });
}

}  // namespace ashlar::train
