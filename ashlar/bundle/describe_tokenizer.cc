// From tokenizer.json to the metadata of a GGUF file: the inverse of gguf_tokenizer.cc.
#include "ashlar/base/error.h"
#include "ashlar/base/log.h"
#include "ashlar/base/shown_text.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/bundle/gguf_spaces.h"
#include "ashlar/bundle/gguf_tokenizer.h"
#include "ashlar/bundle/gguf_unigram.h"
#include "ashlar/bundle/pre_tokenizer_by_ids.h"
#include "ashlar/bundle/sample_texts.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <utility>

namespace ashlar::bundle {
namespace {

using formats::GgufMetadata;
using nlohmann::json;

enum Kind : int64_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

bool is_byte_token(std::string_view token) {
  return token.size() == 6 && token.starts_with("<0x") && token.ends_with('>') &&
         token.find_first_not_of("0123456789ABCDEF", 3) == 5;
}

// The steps of a stage, whether it is one or a Sequence.
std::vector<json> steps_of(const json& stage, const char* list) {
  if (stage.is_null()) return {};
  if (stage.value("type", "") != "Sequence") return {stage};
  return stage.at(list).get<std::vector<json>>();
}

class Exporter {
 public:
  Exporter(const Bundle& model, const text::Tokenizer& tokenizer, GgufMetadata& metadata)
      : model_(model),
        tokenizer_(tokenizer),
        document_(json::parse(tokenizer.json())),
        metadata_(metadata) {}

  void run() {
    const json& model = document_.at("model");
    const std::string type = model.value("type", "BPE");
    if (type == "WordPiece") {
      word_piece(model);
    } else if (type == "Unigram") {
      unigram(model);
    } else if (type != "BPE") {
      no_words("its model type", type);
    } else if (model.value("byte_fallback", false)) {
      sentence_piece(model);
    } else {
      byte_level(model);
    }
    special_tokens();
    if (type == "Unigram") check_spaces();
    note_other_ids();
    for (const text::ChatTemplateSource& source : model_.chat_files().templates) {
      const bool main = source.name == "default";
      metadata_.set(main ? "tokenizer.chat_template" : "tokenizer.chat_template." + source.name,
                    source.source);
    }
  }

 private:
  [[noreturn]] void no_words(std::string_view what, const std::string& found) const {
    fail("model {}: GGUF cannot say its tokenizer: {} is '{}'", model_.path(), what, found);
  }

  std::string unknown_token(const json& model) const {
    if (unknown_) return std::string(*tokenizer_.id_to_token(*unknown_));
    return model.contains("unk_token") && model["unk_token"].is_string() ? model["unk_token"] : "";
  }

  // What GGUF has no words for, and changes few texts.
  void warn_of_flags() const {
    const auto& tokens = tokenizer_.added_tokens();
    const auto found = std::ranges::find_if(
        tokens, [](const text::AddedToken& token) { return token.lstrip || token.single_word; });
    if (found == tokens.end()) return;
    log::warn(
        "convert note=\"GGUF has no word for {} of the token '{}': beside {} its neighbours get "
        "other ids\"",
        found->lstrip ? "lstrip" : "single_word", found->content,
        found->lstrip ? "white space" : "letters");
  }

  // Text of every id below the model's vocabulary as `spell` writes it, and what kind of token it
  // is.
  using Spell = std::function<std::string(const std::string& token, bool control)>;
  void tokens(bool byte_tokens, const Spell& spell = nullptr) {
    std::vector<std::string> texts;
    std::vector<int64_t> kinds;
    std::map<int64_t, bool> added;  // special?
    for (const text::AddedToken& token : tokenizer_.added_tokens()) added[token.id] = token.special;
    warn_of_flags();
    const std::string unknown = unknown_token(document_.at("model"));
    ASHLAR_CHECK(tokenizer_.vocab_size() <= model_.description().vocab,
                 "model {}: the tokenizer has {} tokens, the embedding {} rows", model_.path(),
                 tokenizer_.vocab_size(), model_.description().vocab);
    for (int32_t id = 0; id < model_.description().vocab; ++id) {
      const auto text = tokenizer_.id_to_token(id);
      texts.emplace_back(text ? std::string(*text) : fmt::format("[PAD{}]", id));
      const auto listed = added.find(id);
      if (!text) {
        kinds.push_back(kUnused);
      } else if (byte_tokens && texts.back() == unknown) {
        kinds.push_back(kUnknown);
      } else if (listed != added.end()) {
        kinds.push_back(listed->second ? kControl : kUserDefined);
      } else {
        kinds.push_back(byte_tokens && is_byte_token(*text) ? kByte : kNormal);
      }
      if (spell) texts.back() = spell(texts.back(), !text || kinds.back() == kControl);
    }
    metadata_.set_texts("tokenizer.ggml.tokens", std::move(texts));
    metadata_.set_i32s("tokenizer.ggml.token_type", std::move(kinds));
  }

  static std::string merge_text(const json& merge) {
    if (merge.is_string()) return merge;
    return merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>();
  }

  // Of a pre-tokenizer that GGUF may have spelt so; none of one it has not.
  std::vector<std::string> patterns() const {
    std::vector<std::string> patterns;
    bool bytes = false;
    for (const json& step : steps_of(document_["pre_tokenizer"], "pretokenizers")) {
      const std::string type = step.value("type", "");
      if (type == "Split" && step.at("pattern").contains("Regex") &&
          step.value("behavior", "") == "Isolated" && !step.value("invert", false)) {
        patterns.push_back(step.at("pattern").at("Regex"));
      } else if (type == "Digits" && step.value("individual_digits", false)) {
        patterns.emplace_back(R"(\p{N})");
      } else if (type == "Digits" && bytes) {
        // GPT-2's pattern has cut them already, but for the space before.
      } else if (type == "Punctuation" && step.value("behavior", "") == "Contiguous") {
        patterns.emplace_back(find_pre_tokenizer("falcon")->patterns[0]);
      } else if (type == "ByteLevel") {
        bytes = true;
        if (step.value("add_prefix_space", true)) no_words("add_prefix_space", "true");
        if (step.value("use_regex", true)) {
          patterns.emplace_back(find_pre_tokenizer("gpt-2")->patterns[0]);
        }
      } else {
        return {};
      }
    }
    if (!bytes) no_words("its pre-tokenizer", "without ByteLevel");
    return patterns;
  }

  void byte_level(const json& model) {
    if (!document_["normalizer"].is_null()) {
      // NFC changes only text that is not composed; llama.cpp leaves it out too.
      for (const json& step : steps_of(document_["normalizer"], "normalizers")) {
        if (step.value("type", "") != "NFC") no_words("a normalizer", step.value("type", ""));
        log::warn(
            "convert note=\"GGUF has no word for the normalizer NFC: text that is not composed "
            "gets other ids\"");
      }
    }
    const bool ignore_merges = model.value("ignore_merges", false);
    if (const json suffix = model.value("end_of_word_suffix", json());
        suffix.is_string() && suffix != "") {
      no_words("end_of_word_suffix", suffix);
    }
    const PreTokenizerPatterns* pre = find_pre_tokenizer(patterns(), ignore_merges);
    if (pre == nullptr) pre = find_pre_tokenizer_by_ids(tokenizer_, ignore_merges);
    if (pre == nullptr) no_words("its pre-tokenizer", document_["pre_tokenizer"].dump());
    metadata_.set("tokenizer.ggml.model", "gpt2");
    metadata_.set("tokenizer.ggml.pre", pre->name);
    tokens(false);
    std::vector<std::string> merges;
    for (const json& merge : model.at("merges")) merges.push_back(merge_text(merge));
    metadata_.set_texts("tokenizer.ggml.merges", std::move(merges));
  }

  // Merges become scores: the earlier a token can be made, the higher. Tokens that nothing makes
  // are characters, bytes and special ones, whose scores nobody reads.
  void sentence_piece(const json& model) {
    bool prefix = false, signs = false;
    const auto uses_signs = [&](const json& step) {
      const std::string type = step.value("type", "");
      if (type == "Prepend" && step.value("prepend", "") == kSpace) {
        prefix = true;
      } else if (type == "Replace" && step.at("pattern") == json{{"String", " "}} &&
                 step.value("content", "") == kSpace) {
        signs = true;
      } else if (type == "Metaspace" && step.value("replacement", "") == kSpace) {
        signs = true;
        prefix = step.value("prepend_scheme", "always") != "never";
        if (step.value("split", true)) no_words("Metaspace's split", "true");
      } else if (type == "Split" && step.at("pattern") == json{{"String", " "}} && signs) {
        // Behind the normalizer there are no spaces to cut at.
      } else {
        no_words("a normalizer or pre-tokenizer", type);
      }
    };
    for (const json& step : steps_of(document_["normalizer"], "normalizers")) uses_signs(step);
    for (const json& step : steps_of(document_["pre_tokenizer"], "pretokenizers")) uses_signs(step);
    if (!signs) no_words("its normalizer", "without U+2581 for spaces");
    metadata_.set("tokenizer.ggml.model", "llama");
    metadata_.set("tokenizer.ggml.pre", "default");
    tokens(true);
    std::vector<double> scores(static_cast<size_t>(model_.description().vocab), -1e6);
    double score = 0;
    for (const json& merge : model.at("merges")) {
      std::string token = merge_text(merge);
      token.erase(token.find(' ', 1), 1);
      const auto id = tokenizer_.token_to_id(token);
      ASHLAR_CHECK(id.has_value(), "model {}: the merge '{}' makes no token", model_.path(),
                   merge_text(merge));
      double& own = scores[static_cast<size_t>(*id)];
      if (own == -1e6) own = score -= 1;
    }
    metadata_.set_f32s("tokenizer.ggml.scores", std::move(scores));
    metadata_.set("tokenizer.ggml.add_space_prefix", prefix);
  }

  // llama.cpp has U+2581 where a word begins, and nothing where one goes on ("##").
  void word_piece(const json& model) {
    const json normalizer = document_["normalizer"], pre = document_["pre_tokenizer"];
    const auto is = [](const json& stage, const char* type) {
      return stage.is_object() && stage.value("type", "") == type;
    };
    if (!is(normalizer, "BertNormalizer")) no_words("its normalizer", normalizer.dump());
    if (!is(pre, "BertPreTokenizer")) no_words("its pre-tokenizer", pre.dump());
    const std::string prefix = model.value("continuing_subword_prefix", "##");
    if (prefix != "##") no_words("continuing_subword_prefix", prefix);
    for (const char* flag : {"clean_text", "handle_chinese_chars"}) {
      if (!normalizer.value(flag, true)) no_words(flag, "false");
    }
    const bool lower = normalizer.value("lowercase", true);
    const bool strips =
        normalizer.contains("strip_accents") && normalizer["strip_accents"].is_boolean()
            ? normalizer["strip_accents"].get<bool>()
            : lower;
    metadata_.set("tokenizer.ggml.model", "bert");
    metadata_.set("tokenizer.ggml.pre", "default");
    metadata_.set("tokenizer.ggml.normalizer.lowercase", lower);
    metadata_.set("tokenizer.ggml.normalizer.strip_accents", strips);
    tokens(false, [&](const std::string& token, bool control) -> std::string {
      if (control) return token;
      return token.starts_with(prefix) ? token.substr(prefix.size()) : std::string(kSpace) + token;
    });
  }

  void unigram(const json& model) {
    const UnigramSteps steps = read_unigram_steps(tokenizer_.json());
    if (!steps.no_words.empty()) no_words(steps.no_words, steps.found);
    if (!model.value("unk_id", json()).is_number()) no_words("unk_id", "null");
    if (model.value("byte_fallback", false)) no_words("byte_fallback", "true");
    unknown_ = model["unk_id"].get<int32_t>();
    std::vector<double> scores(static_cast<size_t>(model_.description().vocab), -1e6);
    ASHLAR_CHECK(model.at("vocab").size() <= scores.size(),
                 "model {}: the tokenizer has {} tokens, the embedding {} rows", model_.path(),
                 model["vocab"].size(), scores.size());
    for (size_t id = 0; id < model["vocab"].size(); ++id) {
      const json& entry = model["vocab"][id];
      scores[id] = entry.at(1);
      const std::string token = entry.at(0);
      if (steps.by_word && token.find(kSpace, 1) < token.size()) {
        no_words("a token of two words", token);
      }
    }
    metadata_.set("tokenizer.ggml.model", "t5");
    metadata_.set("tokenizer.ggml.pre", "default");
    tokens(true);
    metadata_.set_f32s("tokenizer.ggml.scores", std::move(scores));
    metadata_.set("tokenizer.ggml.add_space_prefix", steps.prefix);
    metadata_.set("tokenizer.ggml.remove_extra_whitespaces", steps.cleaned);
    if (!steps.charsmap.empty()) {
      metadata_.set_bytes("tokenizer.ggml.precompiled_charsmap", steps.charsmap);
    }
  }

  // WhitespaceSplit cuts at every kind of space, llama.cpp where SentencePiece's rules make one.
  void check_spaces() const {
    const auto written = text::Tokenizer::from_json(tokenizer_json(metadata_), model_.path());
    for (const char* space : {" ", "  ", "\t", "\n", "\r"}) {
      const std::string text = fmt::format("{0}a{0}b{0}", space);
      if (written.encode(text, true) != tokenizer_.encode(text, true)) {
        no_words("where it cuts", json(text).dump());
      }
    }
  }

  // What the file means, as a reader will take it, beside what tokenizer.json means.
  void note_other_ids() const {
    const auto written = text::Tokenizer::from_json(tokenizer_json(metadata_), model_.path());
    std::vector<std::string> texts;
    for (const std::string_view text : sample_texts()) texts.emplace_back(text);
    const auto& tokens = tokenizer_.added_tokens();
    for (const auto flag : {&text::AddedToken::rstrip, &text::AddedToken::special}) {
      const auto token = std::ranges::find(tokens, true, flag);
      if (token == tokens.end() || token->lstrip || token->single_word) continue;
      texts.push_back(fmt::format("one{0}two{0} three", token->content));
    }
    std::ranges::move(vocabulary_texts(tokenizer_), std::back_inserter(texts));
    int64_t others = 0;
    std::string first;
    for (const std::string& text : texts) {
      const std::vector<int32_t> here = tokenizer_.encode(text, false),
                                 there = written.encode(text, false);
      if (here == there) continue;
      if (others++ == 0) first = shown_text(text);
    }
    if (others == 0) return;
    log::warn(
        "convert note=\"GGUF has no words for all rules of this tokenizer: {} of {} texts "
        "(samples, and what its tokens spell) get other ids from the file, as llama.cpp reads it "
        "too; the first is {}\"",
        others, texts.size(), first);
  }

  std::optional<int32_t> id_of(const std::string& role) const {
    for (const auto& [name, token] : model_.chat_files().special_tokens) {
      if (name == role) return tokenizer_.token_to_id(token);
    }
    return std::nullopt;
  }

  void special_tokens() {
    const bool encoder = model_.encoder() != nullptr;
    const GenerationConfig generation = encoder ? GenerationConfig() : model_.generation();
    // An encoder's texts stand between cls_token and sep_token.
    std::optional<int64_t> bos = id_of(encoder ? "cls_token" : "bos_token");
    std::optional<int64_t> eos = id_of(encoder ? "sep_token" : "eos_token");
    if (!bos) bos = generation.bos;
    if (!eos && !generation.eos.empty()) eos = generation.eos.front();
    const auto set = [&](const char* name, std::optional<int64_t> id) {
      if (id) metadata_.set_u32(fmt::format("tokenizer.ggml.{}_token_id", name), *id);
    };
    set("bos", bos);
    set("eos", eos);
    set("unknown", unknown_ ? unknown_ : id_of("unk_token"));
    set("padding", id_of("pad_token"));
    if (encoder) {
      set("cls", bos);
      set("seperator", eos);  // the format's spelling
      set("mask", id_of("mask_token"));
    }
    for (const int64_t end : generation.eos) {
      if (eos && end == *eos) continue;
      set("eot", end);  // the format has one more
      break;
    }
    // What the tokenizer itself puts around a text.
    const std::vector<int32_t> alone = tokenizer_.encode("a", false),
                               whole = tokenizer_.encode("a", true);
    const bool first = whole.size() > alone.size() && bos && whole.front() == *bos;
    const bool last = whole.size() > alone.size() && eos && whole.back() == *eos;
    ASHLAR_CHECK(whole.size() == alone.size() + (first ? 1 : 0) + (last ? 1 : 0),
                 "model {}: GGUF cannot say its tokenizer: it puts other tokens around a text than "
                 "bos_token and eos_token",
                 model_.path());
    metadata_.set("tokenizer.ggml.add_bos_token", first);
    metadata_.set("tokenizer.ggml.add_eos_token", last);
    if (document_.at("model").value("type", "") == "WordPiece" && !(first && last)) {
      log::warn(
          "convert note=\"this tokenizer does not put both cls_token and sep_token around a text, "
          "readers of GGUF always do: its texts get other ids, and embeddings, from the file\"");
    }
  }

  const Bundle& model_;
  const text::Tokenizer& tokenizer_;
  json document_;
  GgufMetadata& metadata_;
  std::optional<int32_t> unknown_;  // of a Unigram model
};

}  // namespace

void describe_tokenizer(const Bundle& model, GgufMetadata& metadata) {
  if (const formats::GgufReader* const file = model.gguf()) {
    for (const auto& [key, value] : file->metadata().entries()) {
      if (key.starts_with("tokenizer.") && !metadata.contains(key)) metadata.add(key, value);
    }
    return;
  }
  if (!model.has_tokenizer()) {
    metadata.set("tokenizer.ggml.model", "none");
    log::warn("model={} note=\"no tokenizer.json, so the file has no tokenizer\"", model.path());
    return;
  }
  const text::Tokenizer tokenizer = model.load_tokenizer();
  Exporter(model, tokenizer, metadata).run();
}

}  // namespace ashlar::bundle
