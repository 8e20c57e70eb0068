#include "ashlar/bundle/bundle.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/base/lfs_pointer.h"
#include "ashlar/base/log.h"
#include "ashlar/base/mapped_file.h"
#include "ashlar/bundle/gguf_embedding.h"
#include "ashlar/bundle/gguf_encoder.h"
#include "ashlar/bundle/gguf_model.h"
#include "ashlar/bundle/gguf_tokenizer.h"
#include "ashlar/bundle/model_path.h"
#include "ashlar/bundle/save_bundle.h"
#include "ashlar/bundle/sentencepiece_model.h"
#include "ashlar/bundle/tokenizer_config.h"
#include "ashlar/formats/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

namespace ashlar::bundle {
namespace {

constexpr const char* kConfig = "config.json";
constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;
constexpr const char* kTokenizer = "tokenizer.json";
constexpr const char* kSentencePiece = "tokenizer.model";
constexpr const char* kGeneration = "generation_config.json";
constexpr const char* kTemplates = "additional_chat_templates";

constexpr const char* kAdapter = "adapter_config.json";
constexpr std::array kTextFiles = {
    kTokenizer, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", kSentencePiece, "chat_template.jinja", kGeneration,
    // How an embedding is made.
    "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"};

// Where the newest model of a run of `ashlar train` lies.
std::string run_folder_hint(const std::string& path) {
  const std::string latest = join_path(path, "latest");
  if (!is_file(latest)) return "";
  const std::string text = read_file(latest);
  return fmt::format("; the newest of this run is {}",
                     join_path(path, text.substr(0, text.find('\n'))));
}

// What a folder without config.json is instead, as far as that shows.
std::string folder_hint(const std::string& path) {
  if (is_file(join_path(path, kAdapter))) {
    return "; this is an adapter: merge it into its model first (peft: merge_and_unload)";
  }
  if (is_file(join_path(path, "0_Transformer/config.json"))) {
    return "; the model is in its folder 0_Transformer";
  }
  return run_folder_hint(path);
}

void check_folder(const std::string& path) {
  if (is_file(path)) {
    const MappedFile file(path);
    check_no_lfs_pointer({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()},
                         path);
    fail(
        "model {} is a file and no GGUF; wanted its folder, with config.json in it, or a GGUF file",
        path);
  }
  ASHLAR_CHECK(is_directory(path), "model {}: no such folder or file, and {}", path,
               why_not_cached(path));
  ASHLAR_CHECK(is_file(join_path(path, kConfig)),
               "model {} has no config.json; wanted a Hugging Face folder{}", path,
               folder_hint(path));
}

// What a folder has in the place of a tokenizer that is read, and what to do about it.
std::string tokenizer_hint(const std::string& folder) {
  for (const char* name :
       {"vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "tekken.json"}) {
    if (!is_file(join_path(folder, name))) continue;
    return fmt::format(
        "; of {} transformers makes one: "
        "AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)",
        name);
  }
  return "";
}

// Whether the file has a head of its own beside config.json's tied one. transformers follows the
// file then. What else is wrong with the file is said where its weights are opened.
bool has_other_head(const std::string& folder, const models::DecoderConfig& config) {
  constexpr const char* kHead = "lm_head.weight";
  if (!config.causal || !config.tied_head) return false;
  try {
    const Weights weights{std::make_shared<const formats::SafetensorsReader>(folder),
                          models::tensor_names(config), kConfig};
    if (!weights.contains(kHead)) return false;
    const auto embed = std::ranges::find_if(weights.rules(), [](const models::WeightRule& rule) {
      return rule.parameters == std::vector<std::string>{"embed.weight"};
    });
    if (embed == weights.rules().end() || !weights.contains(weights.name_of(*embed))) return false;
    const Tensor head = weights.tensor(kHead), table = weights.tensor(weights.name_of(*embed));
    return head.dtype() != table.dtype() || head.shape() != table.shape() ||
           std::memcmp(head.data(), table.data(), head.bytes()) != 0;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

Bundle Bundle::open(const std::string& name) {
  const std::string path = find_model(name);
  if (is_gguf_file(path)) {
    auto gguf = std::make_shared<const formats::GgufReader>(path);
    Bundle bundle(
        path, is_gguf_encoder(gguf->metadata()) ? gguf_encoder_config(*gguf) : gguf_config(*gguf));
    bundle.gguf_ = std::move(gguf);
    return bundle;
  }
  check_folder(path);
  const std::string file = join_path(path, kConfig);
  models::DecoderConfig config = models::parse_config(read_file(file, kMaxConfigBytes), file);
  if (is_file(join_path(path, kAdapter))) {
    log::warn(
        "model={} note=\"{} lies beside the model and is not applied: merge the adapter first "
        "(peft: merge_and_unload)\"",
        path, kAdapter);
  }
  if (has_other_head(path, config)) {
    log::warn(
        "model={} note=\"lm_head.weight is not the embedding, so the head is not tied to it, "
        "whatever config.json says\"",
        path);
    config.tied_head = false;
  }
  return {path, std::move(config)};
}

const models::DecoderConfig& Bundle::config() const {
  ASHLAR_CHECK(config_.causal,
               "model {} is an encoder ({}): it turns texts into vectors and generates none; use "
               "`ashlar embed`",
               path_, config_.family);
  return config_;
}

Weights Bundle::open_weights() const {
  if (gguf_ != nullptr) {
    return config_.causal ? gguf_weights(gguf_, config_) : gguf_encoder_weights(gguf_, config_);
  }
  return {std::make_shared<const formats::SafetensorsReader>(path_), models::tensor_names(config_),
          kConfig};
}

bool Bundle::has_tokenizer() const {
  if (gguf_ != nullptr) return bundle::has_tokenizer(gguf_->metadata());
  return is_file(join_path(path_, kTokenizer)) || is_file(join_path(path_, kSentencePiece));
}

text::Tokenizer Bundle::load_tokenizer() const {
  if (gguf_ != nullptr) {
    ASHLAR_CHECK(has_tokenizer(),
                 "model {} has no tokenizer; give token ids (--ids) instead of text", path_);
    return text::Tokenizer::from_json(tokenizer_json(gguf_->metadata()), path_ + ": the tokenizer");
  }
  ASHLAR_CHECK(has_tokenizer(),
               "model {} has no tokenizer.json; give token ids (--ids) instead of text{}", path_,
               tokenizer_hint(path_));
  return open_tokenizer(path_);
}

text::ChatFiles Bundle::chat_files() const {
  return gguf_ != nullptr ? gguf_chat_files(gguf_->metadata()) : text::read_chat_files(path_);
}

GenerationConfig Bundle::generation() const {
  if (gguf_ != nullptr) return gguf_generation(gguf_->metadata());
  GenerationConfig result = generation_config(config());
  const std::string file = join_path(path_, kGeneration);
  if (!is_file(file)) return result;
  GenerationConfig written = parse_generation_config(read_json_text(file), file);
  if (!written.bos) written.bos = result.bos;
  if (written.eos.empty()) written.eos = result.eos;
  return written;
}

std::map<std::string, std::string> Bundle::text_files() const {
  std::map<std::string, std::string> files;
  if (gguf_ != nullptr) {
    if (has_tokenizer()) files[kTokenizer] = tokenizer_json(gguf_->metadata());
    const text::ChatFiles chat = chat_files();
    files.merge(embedding_files(gguf_embedding(gguf_->metadata()), config_.width));
    files["tokenizer_config.json"] =
        write_tokenizer_config(chat.special_tokens, config_.max_positions);
    if (config_.causal) files[kGeneration] = write_generation_config(generation());
    for (const text::ChatTemplateSource& source : chat.templates) {
      const bool main = source.name == "default";
      files[main ? "chat_template.jinja" : join_path(kTemplates, source.name + ".jinja")] =
          source.source;
    }
    return files;
  }
  for (const char* name : kTextFiles) {
    const std::string file = join_path(path_, name);
    if (is_file(file)) files[name] = read_file(file);
  }
  const auto add = [&](const std::string& name) {
    files[name] = read_file(join_path(path_, name));
  };
  const std::string templates = join_path(path_, kTemplates);
  if (is_directory(templates)) {
    for (const std::string& name : list_directory(templates)) {
      if (name.ends_with(".jinja")) add(join_path(kTemplates, name));
    }
  }
  for (const std::string& name : list_directory(path_)) {  // "1_Pooling"
    const std::string pooling = join_path(name, kConfig);
    if (name.ends_with("_Pooling") && is_file(join_path(path_, pooling))) add(pooling);
  }
  return files;
}

text::Tokenizer open_tokenizer(const std::string& name, LengthRules length_rules) {
  std::string path = find_model(name);
  const bool of_folder = is_directory(path);
  if (of_folder) {
    const std::string file = join_path(path, kTokenizer);
    const std::string pieces = join_path(path, kSentencePiece);
    ASHLAR_CHECK(is_file(file) || is_file(pieces), "model {} has neither {} nor {}{}", path,
                 kTokenizer, kSentencePiece, tokenizer_hint(path));
    path = is_file(file) ? file : pieces;
  }
  std::optional<text::Tokenizer> tokenizer;
  if (is_gguf_file(path)) {  // also a file that holds a vocabulary and no model
    const formats::GgufReader file(path);
    tokenizer =
        text::Tokenizer::from_json(tokenizer_json(file.metadata()), path + ": the tokenizer");
  } else if (path.ends_with(".model")) {
    formats::GgufMetadata pieces = parse_sentencepiece_model(read_file(path), path);
    // What LlamaTokenizer makes of tokenizer_config.json.
    const std::string folder = parent_path(path);
    pieces.set(kSpaceBehindTokens, tokenizer_flag(folder, "legacy").value_or(false));
    for (const std::string flag : {"add_bos_token", "add_eos_token"}) {
      const std::optional<bool> adds = tokenizer_flag(folder, flag.c_str());
      if (adds) pieces.set("tokenizer.ggml." + flag, *adds);
    }
    tokenizer = text::Tokenizer::from_json(tokenizer_json(pieces), path);
  } else {
    tokenizer = text::Tokenizer::from_json_file(path);
  }
  if (of_folder) note_other_tokens(parent_path(path), *tokenizer);
  if (length_rules == LengthRules::kDrop) tokenizer->drop_length_rules();
  return std::move(*tokenizer);
}

bool is_gguf_file(const std::string& path) {
  return is_file(path) && formats::is_gguf(MappedFile(path).bytes());
}

}  // namespace ashlar::bundle
